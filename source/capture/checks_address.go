package capture

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// callBackTimeout bounds a connection to the advertised address.
const callBackTimeout = 4 * time.Second

// address looks whether the advertised host leads to this machine.
func (k *checker) address(ctx context.Context) []check.Result {
	if k.cfg.SnapshotMode == SnapshotInitialOnly {
		return []check.Result{checkAddress.Right("", "none is needed: snapshot.mode: initial_only")}
	}
	host := k.cfg.AdvertisedHost
	rctx, cancel := context.WithTimeout(ctx, callBackTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(rctx, "ip", host)
	if err != nil {
		return []check.Result{checkAddress.Fail(host, fmt.Sprintf("this machine cannot resolve it: %v", err), "")}
	}
	bind, _, err := net.SplitHostPort(k.cfg.Listen)
	if err != nil {
		return []check.Result{checkAddress.Fail(k.cfg.Listen, err.Error(), "Correct hbase.peer.listen.")}
	}
	if far := farServers(rctx, k.cluster.Servers); len(far) > 0 {
		if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !a.Unmap().IsLoopback() }) {
			return []check.Result{checkAddress.Fail(host, fmt.Sprintf("it is %s, this machine to each region server that asks; region servers are on other hosts: %s", addrs[0], check.Names(far)), "")}
		}
		if ip, err := netip.ParseAddr(bind); bind == "localhost" || err == nil && ip.IsLoopback() {
			return []check.Result{checkAddress.Fail(k.cfg.Listen, "hbase.peer.listen is a loopback address; region servers are on other hosts: "+check.Names(far), "hbase.peer.listen: 0.0.0.0:16220")}
		}
	}
	return []check.Result{k.callBack(ctx, host)}
}

// farServers lists the hosts of region servers that are not this machine. One that cannot be resolved is told of by
// hbase.regionservers.
func farServers(ctx context.Context, servers []admin.ServerName) []string {
	own := make(map[netip.Addr]bool)
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				own[p.Addr().Unmap()] = true
			}
		}
	}
	var far []string
	for _, s := range servers {
		if slices.Contains(far, s.Host) {
			continue
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.Host)
		if err == nil && !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap().IsLoopback() || own[a.Unmap()] }) {
			far = append(far, s.Host)
		}
	}
	return far
}

// callBack connects to the advertised address, behind which the connector may run already.
func (k *checker) callBack(ctx context.Context, host string) check.Result {
	l, err := net.Listen("tcp", k.cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return k.running(ctx, host)
	}
	if err != nil {
		return checkAddress.Fail(k.cfg.Listen, fmt.Sprintf("hbase.peer.listen: %v", err), "Give an address of this machine, or 0.0.0.0, in hbase.peer.listen.")
	}
	defer l.Close()
	addr := net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	var word [16]byte
	rand.Read(word[:]) // never fails, see crypto/rand
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			_, _ = c.Write(word[:]) // who does not get it says so
			c.Close()
		}
	}()
	heard, err := hear(ctx, addr, len(word))
	switch {
	case err != nil:
		return checkAddress.Fail(addr, fmt.Sprintf("a connection to it does not arrive here: %v", err), "")
	case string(heard) != string(word[:]):
		return checkAddress.Fail(addr, "it leads to another machine or process than this one", "")
	}
	return checkAddress.Right(addr, "a connection to it arrives here; tried from this machine only")
}

// hear reads n bytes from a connection to addr.
func hear(ctx context.Context, addr string, n int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callBackTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(c, b)
	return b, err
}

// running looks at the process that has the port: a connector at work answers as a region server does.
func (k *checker) running(ctx context.Context, host string) check.Result {
	_, port, err := net.SplitHostPort(k.cfg.Listen)
	if err != nil {
		return checkAddress.Error(k.cfg.Listen, err)
	}
	addr := net.JoinHostPort(host, port)
	ctx, cancel := context.WithTimeout(ctx, callBackTimeout)
	defer cancel()
	conn, err := rpc.Dial(ctx, addr, rpc.DialOptions{Service: "AdminService"})
	if err != nil {
		return checkAddress.Fail(addr, fmt.Sprintf("hbase.peer.listen is in use, and a connection to the advertised address fails: %v", err), "")
	}
	defer conn.Close()
	_, err = conn.Call(ctx, "GetServerInfo", &pb.GetServerInfoRequest{}, nil, nil)
	var broken *rpc.ConnError
	switch {
	case rpc.IsRemote(err, "UnsupportedOperationException"):
		return checkAddress.Right(addr, "the running connector answers; tried from this machine only")
	case errors.As(err, &broken):
		return checkAddress.Unknown(addr, "a process has the port and hangs up: a connector at work does so, it takes connections from region servers and hbase.peer.allow only")
	}
	return checkAddress.Fail(addr, "another program has the port of hbase.peer.listen", "End it, or choose another port in hbase.peer.listen.")
}
