package gitlab

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// nameServerAddress is the name server to ask instead of the system's.
var nameServerAddress atomic.Pointer[string]

// Lookups that timed out go on in the background, so the resolver itself is replaced
// only once.
func init() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if ours := nameServerAddress.Load(); ours != nil {
			address = *ours
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
}

// Replies of a name server (RFC 1035, 4.1.1), and missing ones.
const (
	found     = 0
	servfail  = 2
	nxdomain  = 3
	refused   = 5
	noData    = -1 // the name is there, and has no such address
	truncated = -2 // over UDP; found over TCP
	lost      = -3
)

// nameServer answers questions for addresses over UDP and TCP, as answer says for
// the type (A or AAAA) and how many questions of that type came before. All names
// are looked up there until the test ends.
func nameServer(t *testing.T, answer func(aaaa bool, before int) int) (asked func() int) {
	t.Helper()
	var packets net.PacketConn
	var listener net.Listener
	for range 100 {
		var err error
		if packets, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if listener, err = net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			break
		}
		_ = packets.Close() // another program has the port for TCP
	}
	if listener == nil {
		t.Fatal("no port is free for both UDP and TCP")
	}
	var mu sync.Mutex
	counts := map[bool]int{}
	reply := func(query []byte, tcp bool) []byte {
		end := 12 + strings.IndexByte(string(query[12:]), 0) + 5
		aaaa := binary.BigEndian.Uint16(query[end-4:]) == 28
		mu.Lock()
		code := answer(aaaa, counts[aaaa])
		counts[aaaa]++
		mu.Unlock()
		made := append([]byte{}, query[:end]...)
		copy(made[2:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0})
		switch {
		case code == lost:
			return nil
		case code == truncated && !tcp:
			made[2] |= 2
		case code > 0:
			made[3] |= byte(code)
		case (code == found || code == truncated) && !aaaa:
			made[7] = 1
			made = append(made, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1)
		}
		return made
	}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			if made := reply(buffer[:n], false); made != nil {
				_, _ = packets.WriteTo(made, from)
			}
		}
	}()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 4096)
			if n, err := conn.Read(buffer); err == nil && n > 2 {
				made := reply(buffer[2:n], true)
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(made))), made...))
			}
			_ = conn.Close()
		}
	}()
	address := packets.LocalAddr().String()
	nameServerAddress.Store(&address)
	t.Cleanup(func() {
		nameServerAddress.Store(nil)
		_, _ = packets.Close(), listener.Close()
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return counts[false]
	}
}

// Only "no such name" refuses at once; any other reply of a name server is retried.
func TestDNS(t *testing.T) {
	server := stand(t, gitlabtest.Options{Hosts: []string{"gitlab.example.com"}})
	_, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	at := "https://gitlab.example.com:" + port
	always := func(code int) func(bool, int) int { return func(bool, int) int { return code } }
	// One lookup asks twice for each type.
	first := func(a, aaaa int) func(bool, int) int {
		return func(six bool, before int) int {
			switch {
			case before >= 2:
				return found
			case six:
				return aaaa
			}
			return a
		}
	}
	for name, test := range map[string]struct {
		answer func(aaaa bool, before int) int
		reason access.Reason
		// again: it was looked up more often than once.
		again bool
	}{
		"good":                             {always(found), "", false},
		"over TCP":                         {always(truncated), "", false},
		"no AAAA, ever":                    {func(six bool, _ int) int { return map[bool]int{true: servfail, false: found}[six] }, "", false},
		"SERVFAIL once":                    {first(servfail, servfail), "", true},
		"REFUSED once":                     {first(refused, refused), "", true},
		"SERVFAIL for A, no AAAA":          {first(servfail, noData), "", true},
		"REFUSED for A, no such name":      {first(refused, nxdomain), "", true},
		"SERVFAIL always":                  {always(servfail), access.DNSFailed, true},
		"SERVFAIL for A always, no AAAA":   {func(six bool, _ int) int { return map[bool]int{true: noData, false: servfail}[six] }, access.DNSFailed, true},
		"no such name":                     {always(nxdomain), access.NameUnknown, false},
		"no address":                       {always(noData), access.NameUnknown, false},
		"no such name for A, no AAAA data": {func(six bool, _ int) int { return map[bool]int{true: noData, false: nxdomain}[six] }, access.NameUnknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			asked := nameServer(t, test.answer)
			v := ask(t.Context(), t, connect(t, at, server.CAFile()), alone)
			if v.Reason != test.reason || (v.Outcome == access.Granted) != (test.reason == "") {
				t.Errorf("%+v, want %q", v, test.reason)
			}
			// One lookup, or with the one that confirms it two.
			if n := asked(); (n > 2) != test.again {
				t.Errorf("%d questions for A", n)
			}
			if test.reason != "" && v.Detail != "gitlab.example.com" {
				t.Errorf("detail %q", v.Detail)
			}
		})
	}
	// Time runs out while the name server says nothing.
	nameServer(t, always(lost))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	within(t, func() {
		wantReason(t, ask(ctx, t, connect(t, at, server.CAFile()), alone), access.Unverified, access.DNSFailed)
	})
}
