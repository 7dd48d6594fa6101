package main

import (
	"strings"
	"testing"
	"time"
)

// A row over its limit is marked and named, and makes the run fail, but for times
// in a quick run.
func TestReportOver(t *testing.T) {
	rows := func(requests int, times ...time.Duration) []row {
		b := &bench{}
		for _, ours := range times {
			b.compare("get "+ours.String(), "`rival`", 2, ours, time.Second)
		}
		b.count("at once", time.Second, requests, 2, "2 requests, 0 failures")
		return b.rows
	}
	for name, test := range map[string]struct {
		quick bool
		rows  []row
		over  int
		want  string
	}{
		"within":        {false, rows(2, time.Second, 2*time.Second), 0, ""},
		"time":          {false, rows(2, time.Second, 3*time.Second), 1, "over the limit in 1 of 3 rows: get 3s (≤ 2.00×)"},
		"quick time":    {true, rows(2, time.Second, 3*time.Second), 1, ""},
		"quick request": {true, rows(3, 3*time.Second), 2, "over the limit in 1 of 2 rows: at once (2 requests, 0 failures)"},
		"several": {false, rows(1, 3*time.Second), 2,
			"over the limit in 2 of 2 rows: get 3s (≤ 2.00×); at once (2 requests, 0 failures)"},
	} {
		var out strings.Builder
		text := ""
		if err := report(&out, test.rows, test.quick); err != nil {
			text = err.Error()
		}
		if text != test.want {
			t.Errorf("%s: %q, want %q", name, text, test.want)
		}
		if marked := strings.Count(out.String(), "**over** |\n"); marked != test.over {
			t.Errorf("%s: %d rows are marked:\n%s", name, marked, &out)
		}
	}
}
