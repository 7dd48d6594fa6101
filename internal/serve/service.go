package serve

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Outcomes of requests.
const (
	OK      = "ok"
	Refused = "refused" // by the policy, the token's verdict, or GitLab
	Failed  = "failed"  // GitLab, or the way to it
)

// Outcome is OK, Refused or Failed.
func (r Record) Outcome() string {
	switch {
	case r.Status >= http.StatusInternalServerError, r.Broken:
		return Failed
	case r.Status >= http.StatusBadRequest, r.Reason != "":
		return Refused
	}
	return OK
}

// Monitor answers an orchestrator's probes at /livez and /readyz, and serves metrics in
// Prometheus' text format at /metrics. It is written by hand because the client library's
// initializers would cost every start of the program several milliseconds. No label
// holds a project, a ref or anything else that a client chooses.
type Monitor struct {
	// Ready says why requests can't be served now, nil if they can.
	Ready func(context.Context) error

	// probing: only one probe looks for a token at a time.
	probing sync.Mutex

	mu       sync.Mutex
	counters map[string]float64
	took     histogram
	upstream histogram
	age      time.Duration
}

// readyWithin bounds the answer to a probe.
const readyWithin = 5 * time.Second

// Add counts a request that has ended.
func (m *Monitor) Add(r Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counters == nil {
		m.counters = map[string]float64{}
	}
	operation := string(r.Operation)
	if operation == "" {
		operation = "none"
	}
	m.counters[fmt.Sprintf("requests_total{operation=%q,outcome=%q}", operation, r.Outcome())]++
	if r.Reason != "" {
		m.counters[fmt.Sprintf("refusals_total{reason=%q}", r.Reason)]++
	}
	m.counters[`bytes_total{direction="received"}`] += float64(r.Received)
	m.counters[`bytes_total{direction="sent"}`] += float64(r.Sent)
	m.took.add(r.Took)
	if r.Upstream > 0 {
		m.upstream.add(r.Upstream)
	}
	if r.Verified {
		m.age = r.VerdictAge
	}
}

// ServeHTTP is that of http.Handler.
func (m *Monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch r.URL.Path {
	case "/livez":
		_, _ = io.WriteString(w, "ok\n")
	case "/readyz":
		ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
		defer cancel()
		m.probing.Lock()
		err := m.Ready(ctx)
		m.probing.Unlock()
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, token.Mask(strings.Join(message.As(err).Lines(), "\n"))+"\n")
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	case "/metrics":
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = io.WriteString(w, m.metrics())
	default:
		http.NotFound(w, r)
	}
}

// metrics is the text of all metrics, in a fixed order.
func (m *Monitor) metrics() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out strings.Builder
	family := func(name, kind, help string) {
		fmt.Fprintf(&out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name, help, prefix, name, kind)
	}
	for _, c := range []struct{ name, help string }{
		{"bytes_total", "Bytes of request bodies received from clients, and of response bodies sent to them."},
		{"refusals_total", "Requests that were refused or failed, by the code of the message (docs/messages.md)."},
		{"requests_total", "Requests by operation and outcome."},
	} {
		family(c.name, "counter", c.help)
		for _, series := range slices.Sorted(maps.Keys(m.counters)) {
			if strings.HasPrefix(series, c.name+"{") {
				fmt.Fprintf(&out, "%s%s %s\n", prefix, series, number(m.counters[series]))
			}
		}
	}
	family("request_duration_seconds", "histogram", "Duration of requests, transfers included.")
	m.took.write(&out, prefix+"request_duration_seconds")
	family("upstream_seconds", "histogram", "Time until GitLab's response began.")
	m.upstream.write(&out, prefix+"upstream_seconds")
	family("verdict_age_seconds", "gauge", "Age of GitLab's verdict on the token that the last request used.")
	fmt.Fprintf(&out, "%sverdict_age_seconds %s\n", prefix, number(m.age.Seconds()))
	return out.String()
}

// prefix begins the names of all metrics.
const prefix = "git_credential_acp_"

// number is a value in Prometheus' text format.
func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// histogram counts durations.
type histogram struct {
	counts [len(buckets)]int
	count  int
	sum    float64
}

// buckets are upper bounds in seconds.
var buckets = [...]float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}

func (h *histogram) add(d time.Duration) {
	seconds := d.Seconds()
	for n, bound := range buckets {
		if seconds <= bound {
			h.counts[n]++
		}
	}
	h.count++
	h.sum += seconds
}

func (h *histogram) write(out io.Writer, name string) {
	for n, bound := range buckets {
		_, _ = fmt.Fprintf(out, "%s_bucket{le=%q} %d\n", name, number(bound), h.counts[n])
	}
	_, _ = fmt.Fprintf(out, "%s_bucket{le=\"+Inf\"} %d\n%s_sum %s\n%s_count %d\n", name, h.count, name, number(h.sum), name, h.count)
}
