package transport

import (
	"context"
	"errors"
	"net"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// confirmName looks up a name again that was not found. Go's resolver asks for IPv4 and IPv6
// addresses, in each search domain, and returns one of the errors: "no such name" may hide
// that another query failed (SERVFAIL, a timeout). The name is unknown only if no query
// fails in such a way.
func confirmName(ctx context.Context, err error) error {
	var missing *net.DNSError
	if !errors.As(err, &missing) || nameFault(missing) != access.NameUnknown {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	strict := &net.Resolver{PreferGo: net.DefaultResolver.PreferGo, Dial: net.DefaultResolver.Dial, StrictErrors: true}
	for _, family := range []string{"ip4", "ip6"} {
		_, again := strict.LookupNetIP(ctx, family, missing.Name)
		var dns *net.DNSError
		if !errors.As(again, &dns) || nameFault(dns) != access.NameUnknown {
			return &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no answer", Name: missing.Name, IsTemporary: true}}
		}
	}
	return err
}

// nameFault is the reason for a name that was not resolved. Only "no such name" is
// an answer; all else (SERVFAIL, REFUSED, a timeout) may be gone a moment later.
func nameFault(err *net.DNSError) access.Reason {
	if err.IsNotFound && !err.IsTemporary && !err.IsTimeout {
		return access.NameUnknown
	}
	return access.DNSFailed
}
