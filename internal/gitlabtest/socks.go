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

// SOCKS is a SOCKS proxy, version 5 (RFC 1928), that stands in for DNS: it knows
// the names that it is given and no others.
type SOCKS struct {
	proxy *Proxy
	ln    net.Listener

	mu    sync.Mutex
	asked []string
}

// StartSOCKS starts a SOCKS proxy on a loopback address, with the same routes as
// a [Proxy].
func StartSOCKS(routes map[string]string) (*SOCKS, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	s := &SOCKS{ln: ln, proxy: &Proxy{routes: map[string]string{}, conns: map[net.Conn]bool{}}}
	for name, addr := range routes {
		s.proxy.Route(name, addr)
	}
	s.proxy.tunnels.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.proxy.tunnels.Go(func() { s.serve(conn) })
		}
	})
	return s, nil
}

// Addr is host:port where the proxy listens.
func (s *SOCKS) Addr() string { return s.ln.Addr().String() }

// Asked lists the places, as host:port, that clients wanted to be connected with,
// oldest first.
func (s *SOCKS) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Close cuts all tunnels and leaves nothing behind.
func (s *SOCKS) Close() {
	_ = s.ln.Close()
	s.proxy.cut()
	s.proxy.tunnels.Wait()
}

func (s *SOCKS) serve(near net.Conn) {
	if !s.proxy.hold(near) {
		return
	}
	_ = near.SetDeadline(time.Now().Add(30 * time.Second))
	where, err := greet(near)
	if err != nil {
		s.proxy.drop(near)
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, where)
	s.mu.Unlock()
	far, err := s.proxy.dial(context.Background(), "tcp", where)
	// Succeeded, or host unreachable; then an address that nobody needs.
	answer := []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	if err != nil {
		answer[1] = 4
	}
	if _, werr := near.Write(answer); err != nil || werr != nil || !s.proxy.hold(far) {
		if far != nil {
			s.proxy.drop(far)
		}
		s.proxy.drop(near)
		return
	}
	_ = near.SetDeadline(time.Time{})
	s.proxy.join(near, near, far)
}

var errNotSOCKS = errors.New("gitlabtest: not what a SOCKS client says")

// greet hears out a client: it wants no login, and a connection to host:port.
func greet(near net.Conn) (string, error) {
	read := func(n int) ([]byte, error) {
		data := make([]byte, n)
		_, err := io.ReadFull(near, data)
		return data, err
	}
	head, err := read(2)
	if err != nil || head[0] != 5 {
		return "", errNotSOCKS
	}
	if _, err := read(int(head[1])); err != nil {
		return "", err
	}
	if _, err := near.Write([]byte{5, 0}); err != nil {
		return "", err
	}
	request, err := read(5) // version, command, reserved, kind of address, its first byte
	if err != nil || request[1] != 1 {
		return "", errNotSOCKS
	}
	length := map[byte]int{1: 4, 3: int(request[4]) + 1, 4: 16}[request[3]]
	if length == 0 {
		return "", errNotSOCKS
	}
	rest, err := read(length - 1 + 2)
	if err != nil {
		return "", err
	}
	host := string(rest[:length-1])
	if request[3] != 3 {
		host = net.IP(append(request[4:], rest[:length-1]...)).String()
	}
	port := int(rest[length-1])<<8 | int(rest[length])
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}
