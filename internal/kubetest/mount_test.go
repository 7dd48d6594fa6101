package kubetest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/kubernetes/pkg/volume/util"
)

// callers is how many ask without pause while kubelet's own writer swaps the
// mounted Secret.
const callers = 8

// A token is rotated a thousand times: every call is answered with one of the
// two, whole.
func TestSwapTokens(t *testing.T) {
	d := newDesk(t)
	d.swapped(t, 1000, []map[string]string{d.keys(canary), d.keys(another)}, func(_ int, password string) error {
		if password != canary && password != another {
			return fmt.Errorf("a password of %d bytes that is neither token", len(password))
		}
		return nil
	}, d)
}

// The Secret goes from one user's token and instance, with its own authority, to
// another's and back: a call for either instance gets that one's token or, while
// the other one's is there, nothing. GitLab is asked each time.
func TestSwapInstances(t *testing.T) {
	first, second := newDesk(t), newDesk(t)
	first.set("ACP_GITLAB_CACHE_DIR=off", "GIT_SSL_CAINFO=")
	var versions []map[string]string
	tokens := []string{canary, another}
	for n, d := range []*desk{first, second} {
		ca, err := os.ReadFile(d.gitlab.CAFile())
		must(t, err)
		keys := d.keys(tokens[n])
		keys["ca.crt"] = string(ca)
		versions = append(versions, keys)
	}
	first.swapped(t, 1000, versions, func(n int, password string) error {
		if password != "" && password != tokens[n] {
			return fmt.Errorf("a password of %d bytes that is not the instance's token", len(password))
		}
		return nil
	}, first, second)
}

// swapped swaps versions of a Secret so many times under callers that ask for each of several
// GitLabs in turn. check gets the number of the GitLab and the password that was
// given, "" for none.
func (d *desk) swapped(t *testing.T, swaps int, versions []map[string]string, check func(n int, password string) error, of ...*desk) {
	t.Helper()
	must(t, os.Mkdir(d.path("mount"), 0o755))
	writer, err := util.NewAtomicWriter(d.path("mount"), "test")
	must(t, err)
	swap := func(n int) {
		payload := map[string]util.FileProjection{}
		for key, value := range versions[n%len(versions)] {
			payload[key] = util.FileProjection{Data: []byte(value), Mode: 0o644}
		}
		must(t, writer.Write(payload, nil))
	}
	swap(0)
	var done atomic.Bool
	var answers, calls atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, callers)
	for range callers {
		group.Go(func() {
			for n := 0; !done.Load(); n = (n + 1) % len(of) {
				calls.Add(1)
				stdout, stderr, code, err := d.call(strings.TrimPrefix(of[n].gitlab.URL(), "https://"))
				_, password, _ := strings.Cut(stdout, "\npassword=")
				password, _, _ = strings.Cut(password, "\n")
				if err == nil && (code != 0 || stderr != "") {
					err = fmt.Errorf("exit code %d, %q", code, stderr)
				}
				if err == nil {
					err = check(n, password)
				}
				if err != nil {
					errs <- err
					return
				}
				if password != "" {
					answers.Add(1)
				}
			}
		})
	}
	for n := range swaps {
		swap(n + 1)
		time.Sleep(time.Millisecond) // so that callers meet each version
	}
	done.Store(true)
	group.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	t.Logf("%d answers to %d calls", answers.Load(), calls.Load())
	if answers.Load() < callers {
		t.Error("the callers were hardly there")
	}
}
