package serve

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// reject answers a push that is not forwarded like a server that rejects all of its updates
// (gitprotocol-pack(5), "Report Status"), so that git shows each with its reason. The rest of
// the push is read first: git sends everything before it reads an answer.
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
	var report, progress bytes.Buffer
	packet(&report, "unpack ok\n")
	hints := map[string]bool{}
	for _, update := range u.List {
		m := message.As(cmp.Or(refused[update.Ref], errRefOther()))
		if refused[update.Ref] != nil {
			x.record.Reason = m.Code
		}
		packet(&report, "ng "+update.Ref+" "+m.What+"\n")
		if !hints[m.Hint] {
			hints[m.Hint] = true
			progress.WriteString("hint: " + m.Hint + "\n")
		}
	}
	report.WriteString("0000")
	if u.can("side-band-64k") {
		var muxed bytes.Buffer
		packet(&muxed, "\x02"+progress.String())
		for _, part := range chunks(report.Bytes(), maxLine-5) {
			packet(&muxed, "\x01"+string(part))
		}
		muxed.WriteString("0000")
		report = muxed
	}
	header := x.client.Header()
	header.Set("Content-Type", "application/x-git-receive-pack-result")
	header.Set("Cache-Control", "no-cache")
	x.WriteHeader(http.StatusOK)
	_, _ = x.Write(report.Bytes())
}

// packet writes a packet line. Lines of a report are short: a ref has at most 1024
// bytes.
func packet(w *bytes.Buffer, line string) {
	if len(line) > maxLine-4 {
		line = line[:strings.LastIndexByte(line[:maxLine-4], '\n')+1]
	}
	_, _ = fmt.Fprintf(w, "%04x%s", len(line)+4, line)
}

func chunks(data []byte, size int) (all [][]byte) {
	for len(data) > size {
		all, data = append(all, data[:size]), data[size:]
	}
	return append(all, data)
}
