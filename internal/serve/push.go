package serve

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// allowPush reads the ref updates of a push and checks them against the policy; false if it
// has refused the push.
func (x *exchange) allowPush() bool {
	in, status, err := plainBody(x.request.Header, x.body)
	if err != nil {
		x.refuse(status, errPushMalformed(err))
		return false
	}
	if x.request.Header.Get("Content-Encoding") != "" {
		x.request.Header.Del("Content-Encoding")
		x.length = -1
	}
	updates, err := ReadUpdates(in)
	if err != nil {
		x.refuse(http.StatusBadRequest, errPushMalformed(err))
		return false
	}
	policy := x.server.config.Policy
	refused, moved := policy.updates(updates)
	var read bytes.Buffer
	if len(refused) == 0 && len(moved) > 0 {
		refused = x.refusedMoves(moved, io.TeeReader(io.LimitReader(in, maxHeld), &read))
	}
	x.body = io.MultiReader(bytes.NewReader(updates.Raw), &read, in)
	if len(refused) == 0 {
		return true
	}
	x.reject(updates, refused, in)
	return false
}

// refusedMoves are the updates that are not fast-forwards, by their refs. It reads the commits
// in the pack.
func (x *exchange) refusedMoves(moved []Update, pack io.Reader) map[string]error {
	defer x.server.heavyWork(x.ctx)()
	slow := time.AfterFunc(min(heavyTimeout, x.server.config.Silence), x.client.abort)
	known, incomplete := readCommits(pack, len(moved[0].New))
	slow.Stop()
	ancestor, refused := x.askGitLab(), map[string]error{}
	for _, update := range moved {
		if why := fastForward(known, incomplete, update, ancestor); why != nil {
			refused[update.Ref] = why
		}
	}
	return refused
}

// plainBody is a request's body without its compression; status is for the error.
func plainBody(header http.Header, body io.Reader) (in *bufio.Reader, status int, err error) {
	in = bufio.NewReaderSize(body, 32<<10)
	switch strings.Join(header.Values("Content-Encoding"), ",") {
	case "":
		return in, 0, nil
	case "gzip", "x-gzip":
		plain, err := gzip.NewReader(in)
		if err != nil {
			return nil, http.StatusBadRequest, errors.New("it is not compressed as it says")
		}
		return bufio.NewReaderSize(plain, 32<<10), 0, nil
	}
	return nil, http.StatusUnsupportedMediaType, errors.New("it is compressed in a way that is not known here")
}

// These end the questions to GitLab about a push.
var (
	errTooMany   = errors.New("it joins too many others")
	errQuotaUsed = errors.New("this proxy has asked GitLab too much; try again in a minute")
)

// askGitLab asks whether a commit is an ancestor of another, up to maxQuestions times. After a
// failure, the push is refused, so no more is asked.
func (x *exchange) askGitLab() func(old, of string) (bool, error) {
	questions := 0
	var failed error
	return func(old, of string) (is bool, _ error) {
		if failed != nil {
			return false, failed
		}
		if questions++; questions > maxQuestions || x.route.Wiki || x.ctx.Err() != nil {
			return false, errTooMany
		}
		if !x.server.quota.Allow() {
			return false, errQuotaUsed
		}
		is, failed = x.server.config.Ancestor(x.ctx, x.found, x.route.Project, old, of)
		return is, failed
	}
}

// fastForward is an error unless an update is a fast-forward: the commits in the pack, and
// GitLab for those that it already has, must lead to the old one.
func fastForward(known *commits, incomplete error, u Update, ancestor func(old, of string) (bool, error)) error {
	found, frontier := known.reaches(u.New, u.Old)
	if found {
		return nil
	}
	for _, commit := range frontier {
		switch is, err := ancestor(u.Old, commit); {
		case errors.Is(err, errTooMany), errors.Is(err, errQuotaUsed):
			return errRefUnproven(err.Error())
		case err != nil:
			return errRefUnproven(message.As(err).What)
		case is:
			return nil
		}
	}
	if incomplete != nil && !errors.Is(incomplete, io.EOF) {
		return errRefUnproven("the push has " + errCommits.Error())
	}
	return errRefForced()
}

// heavyWork waits until a part of a request that takes memory may begin; done ends it.
func (s *Server) heavyWork(ctx context.Context) (done func()) {
	select {
	case s.heavy <- struct{}{}:
		return func() { <-s.heavy }
	case <-ctx.Done():
		return func() {}
	}
}

// reject answers a push that is not forwarded like a server that rejects all of its updates,
// so that git shows each with its reason. The rest of the push is read first: git sends
// everything before it reads an answer.
func (x *exchange) reject(u Updates, refused map[string]error, rest io.Reader) {
	if !u.can("report-status") && !u.can("report-status-v2") {
		for _, why := range refused {
			x.refuse(http.StatusForbidden, why)
			return
		}
	}
	if _, err := io.Copy(io.Discard, rest); err != nil {
		x.refuse(http.StatusBadRequest, errPushMalformed(err))
		return
	}
	for _, update := range u.List {
		if why := refused[update.Ref]; why != nil {
			x.record.Reason = message.As(why).Code
		}
	}
	header := x.client.Header()
	header.Set("Content-Type", "application/x-git-receive-pack-result")
	header.Set("Cache-Control", "no-cache")
	x.client.WriteHeader(http.StatusOK)
	_, _ = x.client.Write(rejection(u, refused))
}

// rejection is git's report of a push with all updates rejected (gitprotocol-pack(5), "Report
// Status").
func rejection(u Updates, refused map[string]error) []byte {
	var report, progress bytes.Buffer
	packet(&report, "unpack ok\n")
	hints := map[string]bool{}
	for _, update := range u.List {
		m := message.As(cmp.Or(refused[update.Ref], errRefOther()))
		packet(&report, "ng "+update.Ref+" "+m.What+"\n")
		if !hints[m.Hint] {
			hints[m.Hint] = true
			progress.WriteString("hint: " + m.Hint + "\n")
		}
	}
	report.WriteString("0000")
	if !u.can("side-band-64k") {
		return report.Bytes()
	}
	var muxed bytes.Buffer
	packet(&muxed, "\x02"+progress.String())
	for part := range slices.Chunk(report.Bytes(), maxLine-5) {
		packet(&muxed, "\x01"+string(part))
	}
	muxed.WriteString("0000")
	return muxed.Bytes()
}

// packet writes a packet line. Lines of a report are short: a ref has at most 1024
// bytes.
func packet(w *bytes.Buffer, line string) {
	if len(line) > maxLine-4 {
		line = line[:strings.LastIndexByte(line[:maxLine-4], '\n')+1]
	}
	_, _ = fmt.Fprintf(w, "%04x%s", len(line)+4, line)
}
