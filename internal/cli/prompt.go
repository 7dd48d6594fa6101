package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// maxToken bounds what is read where a token should be, in bytes.
const maxToken = 64 << 10

// newToken reads a token: from a file, if one is named, else from standard input,
// which on a terminal is a prompt without echo. A token is never an argument.
func newToken(ctx context.Context, d *deps, path string) (token.Token, error) {
	where := givenBy(path)
	var text string
	var err error
	if path == "" {
		text, err = entered(ctx, d)
	} else {
		text, err = readToken(path, where)
	}
	if err != nil {
		return token.Token{}, err
	}
	tok, err := token.Parse(text)
	var fault *token.Error
	if errors.As(err, &fault) {
		return token.Token{}, message.TokenFault(fault, where, "give it again")
	}
	d.trace.Hide(tok)
	d.say.hideToken(tok)
	return tok, nil
}

func readToken(path, where string) (string, error) {
	data, err := file.Read(path, maxToken)
	switch {
	case errors.Is(err, file.ErrTooLarge):
		return "", message.FileTooLarge(where, maxToken>>10)
	case err != nil:
		return "", message.FileUnreadable(where, file.Cause(err))
	}
	return string(data), nil
}

// givenBy is where a new token comes from, in words: a file, or standard input.
func givenBy(path string) string {
	if path == "" {
		return "standard input"
	}
	return message.Quote(path)
}

// entered is what is entered on standard input.
func entered(ctx context.Context, d *deps) (string, error) {
	if fd, ok := terminal(d); ok {
		return prompted(ctx, d, fd, "GitLab token (not shown): ", term.ReadPassword)
	}
	return waited(ctx, inputLimit, func() (string, error) {
		text, err := io.ReadAll(io.LimitReader(d.env.Stdin, maxToken+1))
		return string(text), err
	}, errInputLate(inputLimit))
}

// confirmed asks a question on the terminal; false without one.
func confirmed(ctx context.Context, d *deps, question string) bool {
	fd, ok := terminal(d)
	if !ok {
		return false
	}
	answer, problem := prompted(ctx, d, fd, question+" [yes/no] ", func(int) ([]byte, error) {
		line := make([]byte, 0, 16)
		for b := make([]byte, 1); len(line) < cap(line); {
			n, err := d.env.Stdin.Read(b)
			if n == 0 || err != nil || b[0] == '\n' {
				return line, err
			}
			line = append(line, b[0])
		}
		return line, nil
	})
	return problem == nil && strings.TrimSpace(answer) == "yes"
}

// terminal is standard input's number, if it is a terminal.
func terminal(d *deps) (int, bool) {
	in, ok := d.env.Stdin.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return 0, false
	}
	return int(in.Fd()), true
}

// prompted asks for something on the terminal, which is put back as it was
// however it ends.
func prompted(ctx context.Context, d *deps, fd int, prompt string, read func(int) ([]byte, error)) (string, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return "", errPromptEnded()
	}
	_, _ = fmt.Fprint(d.env.Stderr, Name+": "+prompt)
	text, problem := waited(ctx, promptLimit, func() (string, error) {
		line, err := read(fd)
		return string(bytes.TrimRight(line, "\r\n")), err
	}, errPromptEnded())
	_ = term.Restore(fd, before)
	_, _ = fmt.Fprintln(d.env.Stderr)
	return text, problem
}

// promptLimit is how long a person may take.
const promptLimit = 10 * time.Minute

// waited reads what may never come. A read that is given up on goes on behind,
// until the process ends.
func waited(ctx context.Context, limit time.Duration, read func() (string, error), late error) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		switch {
		case r.err != nil && !errors.Is(r.err, io.EOF):
			return "", late
		case len(r.text) > maxToken:
			return "", message.FileTooLarge(givenBy(""), maxToken>>10)
		}
		return r.text, nil
	case <-ctx.Done():
		return "", errPromptEnded()
	case <-time.After(limit):
		return "", late
	}
}
