package scripttest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// relay forwards connections to an address, and keeps the replies.
type relay struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	answers  []*bytes.Buffer
}

// startRelay starts a relay to a free port, for a program of the script.
func (m *machine) startRelay(ts *testscript.TestScript, _ []string) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r := &relay{to: free.Addr().String()}
	_ = free.Close()
	if r.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	m.relays, m.closers = append(m.relays, r), append(m.closers, func() { _ = r.listener.Close() })
	ts.Setenv("RELAY", "http://"+r.listener.Addr().String())
	ts.Setenv("RELAY_TO", r.to)
	go func() {
		for {
			client, err := r.listener.Accept()
			if err != nil {
				return
			}
			go r.pass(client)
		}
	}()
	return nil
}

func (r *relay) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", r.to)
	for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // the program is starting
		server, err = net.Dial("tcp", r.to)
	}
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	got := new(bytes.Buffer)
	_, _ = io.Copy(io.MultiWriter(client, got), server)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, got)
}

// checkRelays fails if a client got a part of a token, or if nothing was relayed.
func (m *machine) checkRelays() error {
	for _, r := range m.relays {
		_ = r.listener.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.answers) == 0 {
			return fmt.Errorf("nothing came through the relay to %s", r.to)
		}
		for _, answer := range r.answers {
			if part := m.leak(answer.Bytes()); part != "" {
				return fmt.Errorf("a client got a part of a token: %s", part)
			}
		}
	}
	return nil
}
