package gitlabtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// SOCKS is a SOCKS 5 proxy (RFC 1928) that knows only its own names.
type SOCKS struct {
	routes
	ln      net.Listener
	ctx     context.Context
	cancel  context.CancelFunc
	tunnels sync.WaitGroup
	asked   []string // guarded by routes.mu
}

// StartSOCKS starts a SOCKS proxy on a loopback address, with the same routes as
// a [Proxy].
func StartSOCKS(to map[string]string) (*SOCKS, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	s := &SOCKS{ln: ln}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.to = map[string]string{}
	for name, addr := range to {
		s.Route(name, addr)
	}
	s.tunnels.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.tunnels.Go(func() { s.serve(conn) })
		}
	})
	return s, nil
}

// Addr is host:port where the proxy listens.
func (s *SOCKS) Addr() string { return s.ln.Addr().String() }

// Asked returns the requested addresses (host:port), oldest first.
func (s *SOCKS) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Close closes all connections.
func (s *SOCKS) Close() {
	s.cancel()
	_ = s.ln.Close()
	s.tunnels.Wait()
}

func (s *SOCKS) serve(near net.Conn) {
	defer func() { _ = near.Close() }()
	defer context.AfterFunc(s.ctx, func() { _ = near.Close() })()
	_ = near.SetDeadline(time.Now().Add(30 * time.Second))
	where, err := greet(near)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, where)
	s.mu.Unlock()
	far, err := s.dial(s.ctx, "tcp", where)
	// Succeeded, or host unreachable; then an unused address.
	answer := []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	if err != nil {
		answer[1] = 4
	}
	_, _ = near.Write(answer)
	if err != nil {
		return
	}
	_ = near.SetDeadline(time.Time{})
	tunnel(s.ctx, near, near, far, 0)
}

// greet reads a client's request without login, and returns host:port.
func greet(near net.Conn) (string, error) {
	read := func(n int) []byte {
		data := make([]byte, n)
		_, _ = io.ReadFull(near, data) // missing bytes are zero, which is refused below
		return data
	}
	if head := read(2); head[0] != 5 || len(read(int(head[1]))) == 0 {
		return "", errors.New("gitlabtest: invalid SOCKS request")
	}
	_, _ = near.Write([]byte{5, 0})
	request := read(4) // version, command, reserved, kind of address
	length := map[byte]int{1: net.IPv4len, 4: net.IPv6len}[request[3]]
	if request[3] == 3 {
		length = int(read(1)[0])
	}
	if request[1] != 1 || length == 0 {
		return "", errors.New("gitlabtest: invalid SOCKS request")
	}
	host, port := read(length), read(2)
	name := string(host)
	if request[3] != 3 {
		name = net.IP(host).String()
	}
	return net.JoinHostPort(name, strconv.Itoa(int(port[0])<<8|int(port[1]))), nil
}
