// Command bench compares the helper with other programs in one run and prints a table. It
// fails if a row exceeds its limit. A quick run has too few rounds to judge times and
// fails only for counts (requests, failures, bytes).
//
//	bench [-quick] PATH-OF-git-credential-acp
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	quick := flag.Bool("quick", false, "few rounds: whether it works, not how fast")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: bench [-quick] PATH-OF-git-credential-acp")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *quick); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// Limits in bytes.
const (
	maxBinary = 13 << 20
	maxMemory = 17 << 20
)

// row is one line of the table: what was measured, against what, and how they
// compare.
type row struct {
	what, ours, rival, ratio, limit string
	// over: it exceeds its limit; time: it is of times.
	over, time bool
}

type bench struct {
	*stage
	quick  bool
	rounds int
	rows   []row
	memory int64
}

func run(program string, quick bool) (err error) {
	dir, err := os.MkdirTemp("", "git-credential-acp-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := newStage(dir, program)
	if err != nil {
		return err
	}
	defer s.close()
	b := &bench{stage: s, quick: quick, rounds: 300}
	if quick {
		b.rounds = 3
	}
	for _, measure := range []func() error{b.warm, b.cold, b.together, b.projects, b.clone, b.serve, b.fleet, b.footprint} {
		if err := measure(); err != nil {
			return err
		}
	}
	return report(os.Stdout, b.rows, quick)
}

// median runs two commands in turn, so that other load affects both, and returns the
// median of each.
func (b *bench) median(rounds int, ours, rival func() (time.Duration, error)) (time.Duration, time.Duration, error) {
	var times [2][]time.Duration
	for range rounds {
		for n, measure := range []func() (time.Duration, error){ours, rival} {
			took, err := measure()
			if err != nil {
				return 0, 0, err
			}
			times[n] = append(times[n], took)
		}
	}
	for _, list := range times {
		slices.Sort(list)
	}
	return times[0][rounds/2], times[1][rounds/2], nil
}

// compare adds a row with a ratio of times and its limit.
func (b *bench) compare(what, against string, limit float64, ours, rival time.Duration) {
	ratio := float64(ours) / float64(rival)
	b.rows = append(b.rows, row{what, show(ours), against + " " + show(rival),
		fmt.Sprintf("%.2f×", ratio), fmt.Sprintf("≤ %.2f×", limit), ratio > limit, true})
}

// count adds a row with a number of requests, which must be want.
func (b *bench) count(what string, took time.Duration, requests, want int, limit string) {
	b.rows = append(b.rows, row{what, show(took) + " in all", fmt.Sprintf("%d requests, 0 failures", requests), "-", limit, requests != want, false})
}

// size adds a row with a number of bytes.
func (b *bench) size(what string, bytes int64, rival string, limit int64) {
	mib := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }
	b.rows = append(b.rows, row{what, mib(bytes), rival, "-", "≤ " + mib(limit), bytes > limit, false})
}

func show(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

// get runs one get and checks that it answers with the token.
func (b *bench) get(request string, env ...string) (time.Duration, output, error) {
	took, out, err := b.timed(request, env, b.program, "get")
	if err == nil && !strings.Contains(out.stdout, "\npassword="+token+"\n") {
		err = fmt.Errorf("get answered %q", out.stderr)
	}
	return took, out, err
}

// getFirst runs one get for the first project, and keeps its peak memory.
func (b *bench) getFirst(env ...string) (time.Duration, error) {
	took, out, err := b.get(b.request(first), env...)
	b.memory = max(b.memory, out.memory)
	return took, err
}

func (b *bench) warm() error {
	if _, err := b.getFirst("HTTPS_PROXY=" + b.far.URL()); err != nil {
		return err
	}
	b.gitlab.ResetRequests()
	ours, rival, err := b.median(b.rounds,
		func() (time.Duration, error) { return b.getFirst() },
		func() (time.Duration, error) {
			took, out, err := b.timed(b.request(""), nil, b.store, "--file", b.path("credentials"), "get")
			if err == nil && !strings.Contains(out.stdout, "password="+token) {
				err = errors.New("credential-store did not answer")
			}
			return took, err
		})
	if err != nil {
		return err
	}
	if n := b.gitlab.Count("api"); n != 0 {
		return fmt.Errorf("warm calls made %d requests", n)
	}
	b.compare("warm `get`", "`git credential-store`", 2.5, ours, rival)
	return nil
}

// cold measures a get that asks GitLab 50 ms away, against one curl.
func (b *bench) cold() error {
	if b.curl == "" {
		b.rows = append(b.rows, row{"cold `get`, GitLab 50 ms away", "-", "no `curl` here", "-", "≤ 1.15×", false, false})
		return nil
	}
	env := []string{"HTTPS_PROXY=" + b.far.URL()}
	rounds := max(3, b.rounds/10)
	ours, rival, err := b.median(rounds,
		func() (time.Duration, error) {
			return b.coldGet(env)
		},
		func() (time.Duration, error) {
			took, out, err := b.timed("", env, b.curl, "-sS", "-f", "--cacert", b.gitlab.CAFile(),
				"-H", "Authorization: Bearer "+token, b.instance+"/api/v4/user")
			if err == nil && !strings.Contains(out.stdout, `"username"`) {
				err = fmt.Errorf("curl got %q", out.stdout)
			}
			return took, err
		})
	if err != nil {
		return err
	}
	b.compare("cold `get`, GitLab 50 ms away", "one `curl` of `/user`", 1.15, ours, rival)
	return nil
}

func (b *bench) coldGet(env []string) (time.Duration, error) {
	if err := os.RemoveAll(b.path("cache")); err != nil {
		return 0, err
	}
	b.gitlab.ResetRequests()
	took, err := b.getFirst(env...)
	if n := b.gitlab.Count("api"); err == nil && n != 2 {
		err = fmt.Errorf("a cold get made %d requests", n)
	}
	return took, err
}

// together measures many cold calls at once.
func (b *bench) together() error {
	for _, callers := range []int{10, 100} {
		took, err := b.atOnce(callers, func(int) string { return first })
		if err != nil {
			return err
		}
		b.count(fmt.Sprintf("%d cold `get`s at once, GitLab 50 ms away", callers), took, b.gitlab.Count("api"), 2, "2 requests, 0 failures")
	}
	return nil
}

// projects measures cold calls for many projects at once.
func (b *bench) projects() error {
	for _, projects := range []int{10, len(b.paths)} {
		took, err := b.atOnce(projects, func(n int) string { return b.paths[n] })
		if err != nil {
			return err
		}
		b.count(fmt.Sprintf("cold `get`s for %d projects at once, GitLab 50 ms away", projects), took, b.gitlab.Count("api"), projects+1, "1 request and 1 a project")
	}
	return nil
}

func (b *bench) atOnce(callers int, project func(int) string) (time.Duration, error) {
	if err := os.RemoveAll(b.path("cache")); err != nil {
		return 0, err
	}
	b.gitlab.ResetRequests()
	errs := make([]error, callers)
	var group sync.WaitGroup
	start := time.Now()
	for n := range callers {
		group.Go(func() {
			_, _, errs[n] = b.get(b.request(project(n)), "HTTPS_PROXY="+b.far.URL())
		})
	}
	group.Wait()
	return time.Since(start), errors.Join(errs...)
}

func (b *bench) clone() error {
	clone := func(helper, withPath string) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			if err := os.RemoveAll(b.path("clone")); err != nil {
				return 0, err
			}
			took, out, err := b.timed("", nil, "git", "-c", "credential.helper=", "-c", "credential.helper="+helper,
				"-c", "credential.useHttpPath="+withPath, "clone", "-q", b.gitlab.URL()+"/"+first+".git", b.path("clone"))
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out.stderr)
			}
			return took, err
		}
	}
	store := clone("store --file="+b.path("credentials"), "false")
	for _, form := range []struct{ what, helper string }{
		{"clone of a small repository, warm, helper named by its path", b.program},
		{"the same, helper `acp`, for which git starts another git", "acp"},
	} {
		ours, rival, err := b.median(max(3, b.rounds/3), clone(form.helper, "true"), store)
		if err != nil {
			return err
		}
		b.compare(form.what, "with `credential-store`", 1.2, ours, rival)
	}
	return nil
}

// fleet starts the sessions of one user, each with its own cache, against the rate limit
// of the platform's guide. maxRequests is the total limit.
func (b *bench) fleet() error {
	sessions, window, within, maxRequests := 300, time.Minute, 20*time.Second, 660
	if b.quick {
		sessions, window, within, maxRequests = 20, 5*time.Second, time.Second, 80
	}
	b.gitlab.SetRateLimit(sessions, window)
	defer b.gitlab.SetRateLimit(0, 0)
	b.gitlab.ResetRequests()
	near := strings.TrimPrefix(b.gitlab.URL(), "https://")
	request := "protocol=https\nhost=" + near + "\npath=" + first + ".git\n"
	errs := make([]error, sessions)
	var group sync.WaitGroup
	start := time.Now()
	for n := range sessions {
		group.Go(func() {
			time.Sleep(within * time.Duration(n) / time.Duration(sessions))
			_, _, errs[n] = b.get(request, "ACP_GITLAB_CACHE_DIR="+b.path(fmt.Sprintf("caches/%d", n)))
		})
	}
	group.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	got := b.gitlab.Count("api")
	over := failed > 0 || got > maxRequests
	b.rows = append(b.rows, row{fmt.Sprintf("%d sessions within %s, each with its own cache, %d requests allowed in %s", sessions, within, sessions, window),
		show(time.Since(start)) + " in all", fmt.Sprintf("%d requests, %d failures", got, failed), "-", fmt.Sprintf("≤ %d requests, 0 failures", maxRequests), over, false})
	return errors.Join(errs...)
}

// footprint is the memory of all calls, and the size of the program.
func (b *bench) footprint() error {
	info, err := os.Stat(b.program)
	if err != nil {
		return err
	}
	b.size("peak memory", b.memory, "-", maxMemory)
	b.size("binary, stripped", info.Size(), "-", maxBinary)
	return nil
}

// report prints the table, with a mark on each row over its limit. The error names those
// rows; times are not an error in a quick run.
func report(to io.Writer, rows []row, quick bool) error {
	var failed []string
	out := "| what | ours | against | ratio | limit |\n|---|---|---|---|---|\n"
	for _, r := range rows {
		limit := r.limit
		if r.over {
			limit += " **over**"
			if !r.time || !quick {
				failed = append(failed, r.what+" ("+r.limit+")")
			}
		}
		out += fmt.Sprintf("| %s | %s | %s | %s | %s |\n", r.what, r.ours, r.rival, r.ratio, limit)
	}
	if _, err := io.WriteString(to, out); err != nil {
		return err
	}
	if len(failed) > 0 {
		return fmt.Errorf("over the limit in %d of %d rows: %s", len(failed), len(rows), strings.Join(failed, "; "))
	}
	return nil
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }
