package replication

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// AllowList lets only the source's own region servers, and addresses named by the operator, connect:
// HBase's SIMPLE authentication proves nothing, so whoever reaches the port could write into the topics.
type AllowList struct {
	// Hosts lists the hosts of the source's live region servers.
	Hosts func(ctx context.Context) ([]string, error)
	// Extra are allowed besides them.
	Extra []netip.Prefix

	mu        sync.Mutex
	addrs     map[netip.Addr]bool
	refreshed time.Time
}

const (
	// allowRefresh is the least time between two look-ups of the region servers for unknown addresses.
	allowRefresh = time.Second
	// allowTimeout bounds one look-up.
	allowTimeout = 5 * time.Second
)

// Check returns an error for an address that may not connect.
func (l *AllowList) Check(remote net.Addr) error {
	ap, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return fmt.Errorf("check the address of a connection: %w", err)
	}
	addr := ap.Addr().Unmap().WithZone("")
	for _, p := range l.Extra {
		if p.Contains(addr) {
			return nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addrs[addr] {
		return nil
	}
	if l.addrs == nil || time.Since(l.refreshed) > allowRefresh {
		if err := l.refresh(); err != nil {
			return fmt.Errorf("refuse %s: look up the source's region servers: %w", addr, err)
		}
	}
	if l.addrs[addr] {
		return nil
	}
	return fmt.Errorf("refuse %s: not a region server of the source; if it is one by another address, add it to hbase.peer.allow", addr)
}

// refresh is called with mu held.
func (l *AllowList) refresh() error {
	ctx, cancel := context.WithTimeout(context.Background(), allowTimeout)
	defer cancel()
	hosts, err := l.Hosts(ctx)
	if err != nil {
		return err
	}
	addrs := make(map[netip.Addr]bool)
	for _, h := range hosts {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", h)
		if err != nil {
			return fmt.Errorf("resolve region server %s: %w", h, err)
		}
		for _, a := range found {
			addrs[a.Unmap()] = true
		}
	}
	l.addrs, l.refreshed = addrs, time.Now()
	return nil
}
