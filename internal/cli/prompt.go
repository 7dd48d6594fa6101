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

// maxToken is the limit of a token's input in bytes.
const maxToken = 64 << 10

// newToken reads a token from a file, or, for "", from standard input: on a terminal with a
// prompt, without echo.
func newToken(ctx context.Context, d *deps, path string) (token.Token, error) {
	where := tokenOrigin(path)
	var text string
	var err error
	if path == "" {
		text, err = readStdin(ctx, d)
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

// tokenOrigin names the place of a new token: a file, or standard input.
func tokenOrigin(path string) string {
	if path == "" {
		return "standard input"
	}
	return message.Quote(path)
}

// readStdin reads a token from standard input.
func readStdin(ctx context.Context, d *deps) (string, error) {
	if fd, ok := terminal(d); ok {
		return ask(ctx, d, fd, "GitLab token (not shown): ", term.ReadPassword)
	}
	return readWithin(ctx, inputLimit, func() (string, error) {
		text, err := io.ReadAll(io.LimitReader(d.env.Stdin, maxToken+1))
		return string(text), err
	}, errInputLate(inputLimit))
}

// confirm asks a question on the terminal; without one, the answer is no.
func confirm(ctx context.Context, d *deps, question string) bool {
	fd, ok := terminal(d)
	if !ok {
		return false
	}
	answer, err := ask(ctx, d, fd, question+" [yes/no] ", func(int) ([]byte, error) {
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
	return err == nil && strings.TrimSpace(answer) == "yes"
}

// terminal is the file descriptor of standard input, if that is a terminal.
func terminal(d *deps) (int, bool) {
	in, ok := d.env.Stdin.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return 0, false
	}
	return int(in.Fd()), true
}

// ask prompts on the terminal, whose mode it restores afterwards.
func ask(ctx context.Context, d *deps, fd int, prompt string, read func(int) ([]byte, error)) (string, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return "", errPromptEnded()
	}
	_, _ = fmt.Fprint(d.env.Stderr, Name+": "+prompt)
	text, err := readWithin(ctx, promptLimit, func() (string, error) {
		line, err := read(fd)
		return string(bytes.TrimRight(line, "\r\n")), err
	}, errPromptEnded())
	_ = term.Restore(fd, before)
	_, _ = fmt.Fprintln(d.env.Stderr)
	return text, err
}

// promptLimit is the time limit for an answer.
const promptLimit = 10 * time.Minute

// readWithin reads within a time limit. A read that exceeds it continues in the background until
// the process ends.
func readWithin(ctx context.Context, limit time.Duration, read func() (string, error), late error) (string, error) {
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
			return "", message.FileTooLarge(tokenOrigin(""), maxToken>>10)
		}
		return r.text, nil
	case <-ctx.Done():
		return "", errPromptEnded()
	case <-time.After(limit):
		return "", late
	}
}
