package serve

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/source"
)

func pktLine(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// The proxy reads push options as git's receive-pack does: git takes the capability with a
// value as well.
func TestPushOptionsAsGitReadsThem(t *testing.T) {
	git := repository(t, "sha1")
	git(history(1), "fast-import", "--quiet", "--force")
	git("", "config", "receive.advertisePushOptions", "true")
	dir := git("", "rev-parse", "--absolute-git-dir")
	if err := os.WriteFile(filepath.Join(dir, "hooks", "pre-receive"), []byte("#!/bin/sh\necho \"$GIT_PUSH_OPTION_COUNT:$GIT_PUSH_OPTION_0\" >"+dir+"/seen\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := start(t, true, func(c *Config) { c.Policy.Refs, c.Policy.Projects = []string{"refs/heads/x*"}, []string{"group/*"} }, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
		cmd := exec.CommandContext(r.Context(), "git", "receive-pack", "--stateless-rpc", dir)
		cmd.Stdin, cmd.Stdout = r.Body, w
		if err := cmd.Run(); err != nil {
			t.Error(err)
		}
	})
	pack := git("", "pack-objects", "--stdout", "-q") + "\n"
	tip := git("", "rev-parse", "main")
	number := 0
	for _, capability := range []string{"push-options", "push-options=", "push-options=1", "agent=push-options push-options=x", "x=1  push-options "} {
		for option, want := range map[string]string{
			"ci.skip": "1:ci.skip", "merge_request.target_project=Group/other": "1:merge_request.target_project=Group/other",
			"merge_request.merge_when_pipeline_succeeds": "", "mr.auto_merge=1": "", "MR.Auto_Merge": "", " mr.auto_merge ": "", ".mr.auto_merge": "",
			"mr.target_project=other/secret": "", "merge_request.target_project": "", "mr.target_project =group/../other/x": "", "mr.target_project=group": "",
		} {
			number++
			_ = os.Remove(dir + "/seen")
			command := pktLine(fmt.Sprintf("%s %s refs/heads/x%d\x00report-status %s", strings.Repeat("0", 40), tip, number, capability))
			answer := p.send(t, post(pushPack, command+"0000"+pktLine(option)+"0000"+pack), false)
			seen, _ := os.ReadFile(dir + "/seen")
			if got := strings.TrimSpace(string(seen)); got != want || want == "" && !strings.Contains(answer, "ng refs/heads/x") {
				t.Errorf("%q %q: git got %q, the client %q", capability, option, got, answer)
			}
		}
	}
}

// GitLab gets a body as the type that it was judged as: as a form, it could be another
// operation.
func TestContentTypeIsTheRoutes(t *testing.T) {
	got := make(chan string, 1)
	p := start(t, true, func(c *Config) { c.Policy.ReadOnly = true }, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Content-Type") + r.Header.Get("Content-Encoding") + r.Header.Get("X-Http-Method-Override") + r.Header.Get("Range")
		git(w, r)
	})
	form := `{"operation":"download","objects":[],"x":"&operation=upload&_method=put&"}`
	for _, header := range []string{"Content-Type: application/x-www-form-urlencoded", "Content-Type: multipart/form-data; boundary=x", "X: y", "Range: bytes=0-9", "Content-Encoding: gzip\r\nX-HTTP-Method-Override: PUT"} {
		p.send(t, post(batch, form, header), false)
		if kind := <-got; kind != typeLFS {
			t.Errorf("%s: a batch is sent as %q", header, kind)
		}
		if strings.HasPrefix(header, "Content-Encoding") {
			continue // a fetch may be compressed
		}
		p.send(t, post(fetchPack, "0000", header), false)
		if kind := <-got; kind != "application/x-git-upload-pack-request" {
			t.Errorf("%s: a fetch is sent as %q", header, kind)
		}
	}
	p.server.config.Policy.ReadOnly = false
	p.send(t, post(pushPack, "0000", "Content-Type: text/plain"), false)
	if kind := <-got; kind != "application/x-git-receive-pack-request" {
		t.Errorf("a push is sent as %q", kind)
	}
	for _, encodings := range []string{"Content-Encoding:\r\nContent-Encoding: gzip", "Content-Encoding: gzip\r\nContent-Encoding: gzip", "Content-Encoding: deflate", "Content-Encoding: identity\r\nContent-Encoding: gzip"} {
		if answer := p.send(t, post(pushPack, "0000", encodings), false); status(answer) != "415" {
			t.Errorf("%q: %q", encodings, answer)
		}
	}
}

// Transfers to the instance are the proxy's, however their URLs are spelled.
func TestBatchSpellings(t *testing.T) {
	const oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
	for href, want := range map[string]string{
		"https://NAME:PORT/group/project.git/gitlab-lfs/objects/" + oid:   "200",
		"HTTPS://NAME:PORT/group/project.git/gitlab-lfs/objects/" + oid:   "200",
		"http://NAME:PORT/group/project.git/gitlab-lfs/objects/" + oid:    "502",
		"http://NAME/group/project.git/gitlab-lfs/objects/" + oid:         "502",
		"https://NAME.:PORT/group/project.git/gitlab-lfs/objects/" + oid:  "502",
		"//NAME:PORT/group/project.git/gitlab-lfs/objects/" + oid:         "502",
		"https://u@NAME:PORT/group/project.git/gitlab-lfs/objects/" + oid: "502",
		"https://NAME:1/minio/" + oid:                                     "200",
	} {
		p := start(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
			name, port, _ := strings.Cut(r.Host, ":")
			w.Header().Set("Content-Type", typeLFS)
			_, _ = fmt.Fprintf(w, `{"objects":[{"oid":"%s","actions":{"download":{"href":"%s","header":{"Authorization":"Basic other"}}}}]}`, oid, strings.NewReplacer("NAME", name, "PORT", port).Replace(href))
		})
		answer := p.send(t, post(batch, `{"operation":"download"}`), false)
		if toInstance := strings.Contains(answer, p.instance.Listener.Addr().String()); status(answer) != want || want == "200" && toInstance {
			t.Errorf("%s: %q", href, answer)
		}
	}
	// The client does not get the token from any part of a reply.
	basic := "Basic b2F1dGgyOmdscGF0LUNhbmFyeVNlcnZlMV8teA=="
	for _, body := range []string{
		`{"Objects":[{"Actions":{"download":{"HREF":"x","Header":{"authorization":"` + basic + `"}}}}]}`,
		`{"objects":[{"_links":{"download":{"href":"x","header":{"Authorization":"` + basic + `"}}}}]}`,
		`{"objects":{"actions":{"download":{"header":[["` + basic + `"]]}}}}`,
		`{"objects":[{"actions":[{"href":"` + canary + `"}]}]}`,
		`{"` + canary + `":1}`, `{"a":"\u0067lpat-Canary\u0053erve1_-x"}`, `{"a":"x"}{"b":"` + canary + `"}`,
	} {
		p := start(t, false, nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", typeLFS)
			_, _ = io.WriteString(w, body)
		})
		if answer := p.send(t, post(batch, `{"operation":"download"}`), false); leaked(answer) != "" || strings.Contains(answer, `\u0067`) {
			t.Errorf("%s: %q", body, answer)
		}
	}
}

// object is a commit in a pack.
func object(w io.Writer, z *zlib.Writer, content []byte) {
	head := []byte{typeCommit<<4 | byte(len(content)&15)}
	for size := len(content) >> 4; size > 0; size >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(size&0x7f))
	}
	_, _ = w.Write(head)
	z.Reset(w)
	_, _ = z.Write(content)
	_ = z.Close()
}

// packOf is the beginning of a pack with one object of content.
func packOf(content []byte) []byte {
	var pack bytes.Buffer
	pack.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x01")
	object(&pack, zlib.NewWriter(nil), content)
	return pack.Bytes()
}

// Commits that are made to cost much are judged in little memory and time, by few
// questions to GitLab.
func TestCostlyCommits(t *testing.T) {
	const clients = 8
	var parents bytes.Buffer
	parents.WriteString("tree x\n")
	for n := range 200_000 {
		fmt.Fprintf(&parents, "parent %040x\n", n+1000)
	}
	var many bytes.Buffer
	many.WriteString("PACK\x00\x00\x00\x02")
	_ = binary.Write(&many, binary.BigEndian, uint32(60_000))
	z := zlib.NewWriter(nil)
	for n := range 60_000 {
		object(&many, z, fmt.Appendf(nil, "%d", n))
	}
	var asked atomic.Int32
	p := start(t, true, func(c *Config) {
		c.Ancestor = func(context.Context, source.Found, string, string, string) (bool, error) {
			asked.Add(1)
			return false, nil
		}
	}, git0)
	for name, pack := range map[string][]byte{"parents": packOf(parents.Bytes()), "lines": packOf(bytes.Repeat([]byte("\n"), 15<<20)), "objects": many.Bytes()} {
		asked.Store(0)
		tip := objectID(parents.Bytes(), 40)
		var body strings.Builder
		for n := range 50 {
			text := fmt.Sprintf("%040x %s refs/heads/x%d", n+1, tip, n)
			if n == 0 {
				text += "\x00report-status"
			}
			body.WriteString(pktLine(text))
		}
		body.WriteString("0000")
		body.Write(pack)
		request := post(pushPack, body.String())
		peak, group := peakHeap(t), sync.WaitGroup{}
		began := time.Now()
		for range clients {
			group.Go(func() {
				if answer := p.send(t, request, false); !strings.Contains(answer, "ng refs/heads/x49 policy: ") {
					t.Errorf("%s: %q", name, answer)
				}
			})
		}
		group.Wait()
		if mib := peak() >> 20; mib > 350 {
			t.Errorf("%s: %d MiB in %v", name, mib, time.Since(began))
		}
		if n := asked.Load(); n > clients*maxQuestions {
			t.Errorf("%s: %d questions", name, n)
		}
	}
}

// peakHeap measures the heap in use until its result is called.
func peakHeap(t *testing.T) (peak func() uint64) {
	t.Helper()
	runtime.GC()
	stop, result := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-stop:
				result <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 { close(stop); return <-result }
}

// An answer that ends early is a failure in the log and the metrics, although its status was
// sent.
func TestInterruptedIsNoSuccess(t *testing.T) {
	for _, text := range []string{canary, ""} {
		p := start(t, false, nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			_, _ = io.WriteString(w, strings.Repeat("0008data", 9000))
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, text)
			if text == "" {
				panic(http.ErrAbortHandler)
			}
		})
		p.send(t, post(fetchPack, "0000"), false)
		want := map[string]string{canary: "answer-unusable", "": "interrupted"}[text]
		if r := <-p.records; r.Outcome() != Failed || r.Reason != want || r.Status != http.StatusOK {
			t.Errorf("%+v", r)
		}
	}
}

// The reason of a refused push is that of a refused ref, not of those beside it.
func TestReasonOfARefusedPush(t *testing.T) {
	p := start(t, true, nil, git)
	none, one := strings.Repeat("0", 40), strings.Repeat("1", 40)
	p.send(t, post(pushPack, pktLine(one+" "+none+" refs/heads/a\x00report-status")+pktLine(none+" "+one+" refs/heads/b")+"0000"), false)
	if r := <-p.records; r.Reason != "policy-delete" || r.Outcome() != Refused {
		t.Errorf("%+v", r)
	}
}

// More branches than are verified are refused, and nothing is asked or forwarded.
func TestManyBranches(t *testing.T) {
	p := start(t, true, nil, git)
	var body strings.Builder
	for n := range maxMoved + 1 {
		text := fmt.Sprintf("%040x %040x refs/heads/x%d", n+1, n+2, n)
		if n == 0 {
			text += "\x00report-status"
		}
		body.WriteString(pktLine(text))
	}
	answer := p.send(t, post(pushPack, body.String()+"0000"), false)
	if !strings.Contains(answer, "ng refs/heads/x100 policy: ") || !strings.Contains(answer, "more than 100 branches") || len(p.requests()) > 0 {
		t.Errorf("%q", answer)
	}
}

// A GitLab that does not answer is asked once for a push, however many branches it moves.
func TestUnansweredQuestion(t *testing.T) {
	var asked atomic.Int32
	p := start(t, true, func(c *Config) {
		c.Ancestor = func(context.Context, source.Found, string, string, string) (bool, error) {
			asked.Add(1)
			return false, errBusy(1)
		}
	}, git)
	body := pktLine(strings.Repeat("1", 40) + " " + strings.Repeat("2", 40) + " refs/heads/x\x00report-status")
	for n := range 5 {
		body += pktLine(fmt.Sprintf("%040x %040x refs/heads/x%d", n+3, n+4, n))
	}
	answer := p.send(t, post(pushPack, body+"0000"), false)
	if !strings.Contains(answer, "ng refs/heads/x4 policy: the push could not be verified") || asked.Load() != 1 {
		t.Errorf("%q after %d questions", answer, asked.Load())
	}
}

// A bug that ends one push does not keep others from being verified.
func TestPanicInPush(t *testing.T) {
	var asked atomic.Int32
	p := start(t, true, func(c *Config) {
		c.Ancestor = func(context.Context, source.Found, string, string, string) (bool, error) {
			if asked.Add(1) <= maxHeavy {
				panic("a bug")
			}
			return false, nil
		}
	}, git)
	body := pktLine(strings.Repeat("1", 40)+" "+strings.Repeat("2", 40)+" refs/heads/x\x00report-status") + "0000"
	for range maxHeavy {
		p.send(t, post(pushPack, body), false)
	}
	if answer := p.send(t, post(pushPack, body), false); !strings.Contains(answer, "ng refs/heads/x policy: ") {
		t.Errorf("%q", answer)
	}
}

// Only two pushes at once can be looked into, so a slow one may not take long.
func TestSlowPush(t *testing.T) {
	p := start(t, true, func(c *Config) { c.Silence = 300 * time.Millisecond }, git)
	var pack bytes.Buffer
	pack.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x01")
	z, err := zlib.NewWriterLevel(nil, zlib.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	object(&pack, z, make([]byte, 2*maxHeld))
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(wait))
	update := pktLine(strings.Repeat("1", 40)+" "+strings.Repeat("2", 40)+" refs/heads/x\x00report-status") + "0000"
	_, err = io.WriteString(conn, post(pushPack, update, "Content-Length: "+decimal(len(update)+pack.Len())))
	for tick := time.NewTicker(20 * time.Millisecond); err == nil && pack.Len() > 0; <-tick.C {
		_, err = conn.Write(pack.Next(progress))
	}
	if r := <-p.records; r.Received >= maxHeld || r.Outcome() == OK {
		t.Errorf("%+v", r)
	}
}

// Made-up projects, also other spellings of one that is allowed, and pushes that join many
// commits spend a part of the user's rate limit only; projects in use are still served.
func TestQuota(t *testing.T) {
	var asked atomic.Int32
	p := start(t, true, func(c *Config) {
		find := c.Token
		c.Policy.Projects = []string{"group/*"}
		c.Token = func(ctx context.Context, want Want) (source.Found, time.Time, error) {
			if asked.Add(1); want.Path != "group/project.git" {
				return source.Found{}, time.Time{}, errNotServed()
			}
			return find(ctx, want)
		}
		c.Ancestor = func(context.Context, source.Found, string, string, string) (bool, error) {
			asked.Add(1)
			return false, nil
		}
	}, git)
	if answer := p.send(t, get(fetchRefs), false); status(answer) != "200" {
		t.Fatalf("%q", answer)
	}
	began, answer := time.Now(), ""
	for n := range 2 * maxQuota {
		project := fmt.Sprintf("group/x%d", n)
		if n%2 == 0 {
			project = "GROUP/" + strings.NewReplacer("0", "x", "1", "X").Replace(fmt.Sprintf("%b", n))
		}
		answer = p.send(t, get("/"+project+".git/info/refs?service=git-upload-pack"), false)
	}
	bound := func() int32 { return int32(maxQuota + time.Since(began)/quotaInterval + 1) }
	if n := asked.Load(); n > bound() || status(answer) != "429" || !strings.Contains(answer, "Retry-After: 10\r\n") {
		t.Errorf("%d questions, then %q", n, answer)
	}
	said, err := exec.CommandContext(t.Context(), "git", "-c", "http.proxy=", "ls-remote", "http://"+p.address+"/group/none.git").CombinedOutput()
	if err == nil || !strings.Contains(string(said), "remote: rate limit exceeded: this proxy has asked GitLab about too many projects") || !strings.Contains(string(said), "remote: hint: ") {
		t.Errorf("git says %q", said)
	}
	if answer := p.send(t, post(fetchPack, "0000"), false); status(answer) != "200" {
		t.Errorf("the project in use: %q", answer)
	}
	before := asked.Load()
	merge := []byte("tree x\n" + strings.Repeat("parent "+strings.Repeat("3", 40)+"\n", 2))
	push := pktLine(strings.Repeat("1", 40)+" "+objectID(merge, 40)+" refs/heads/x\x00report-status") + "0000" + string(packOf(merge))
	if answer := p.send(t, post(pushPack, push), false); !strings.Contains(answer, "ng refs/heads/x policy: ") || asked.Load() > before+1 && asked.Load() > bound() {
		t.Errorf("%q after %d questions", answer, asked.Load()-before)
	}
}

// A token that git on GitLab rejects is tried a few times only, however often a client tries.
func TestRefusedLogins(t *testing.T) {
	p := start(t, true, nil, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) })
	began, answer := time.Now(), ""
	for range 20 {
		answer = p.send(t, get(fetchRefs), false)
		p.send(t, post(fetchPack, "0000"), false)
	}
	if n := len(p.requests()); n > maxRefusedLogins+1+int(time.Since(began)/refusedInterval) || status(answer) != "403" || !strings.Contains(answer, "keeps rejecting the token") {
		t.Errorf("%d logins, then %q", n, answer)
	}
}

// Why a request failed is in the log and, unless it has left, told to the client.
func TestClientsFailures(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, pktLine(strings.Repeat("0", 40)+" "+strings.Repeat("1", 40)+" refs/heads/x\x00report-status")+"0000PACK")
	_ = z.Close()
	compressed := packed.String()
	broken := fmt.Sprintf("%x\r\n%s\r\nzz\r\n", 4, "0000")
	for name, row := range map[string]struct {
		request, reason string
		leave           bool
	}{
		"bad chunk":          {post(fetchPack, broken, "Transfer-Encoding: chunked"), "push-malformed", false},
		"cut in compression": {post(pushPack, compressed[:len(compressed)-6], "Content-Encoding: gzip"), "push-malformed", false},
		"more after it":      {post(pushPack, compressed+"garbage", "Content-Encoding: gzip"), "push-malformed", false},
		"leaves":             {post(fetchPack, "0000", "Content-Length: 9"), "interrupted", true},
		"leaves a chunk":     {post(fetchPack, "9\r\n0000", "Transfer-Encoding: chunked"), "interrupted", true},
		"waits too long":     {post(fetchPack, "0000", "Content-Length: 9"), "timeout", false},
		"GitLab hangs":       {get(fetchRefs), "timeout", false},
	} {
		for _, http2 := range []bool{false, true} {
			p := start(t, http2, func(c *Config) { c.Silence = time.Second }, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					<-r.Context().Done()
				}
				git(w, r)
			})
			answer := p.send(t, row.request, row.leave)
			if r := <-p.records; r.Reason != row.reason || r.Outcome() == OK || row.reason == "push-malformed" && status(answer) != "400" || row.reason == "timeout" && status(answer) != "502" {
				t.Errorf("%s, HTTP/2 %v: %+v, %q", name, http2, r, answer)
			}
		}
	}
}
