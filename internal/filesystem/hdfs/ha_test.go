package hdfs

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/waltap/waltap/internal/filesystem"
)

// nameNode is a name node that knows one file of some size at every path.
type nameNode struct {
	net.Listener
	size uint64

	mu    sync.Mutex
	calls []string
	state string // active, standby, stuck: it takes questions and answers none
	conns []net.Conn
}

const (
	active  = "active"
	standby = "standby"
	stuck   = "stuck"
)

func startNameNode(t *testing.T, state string, size uint64) *nameNode {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameNode{Listener: l, size: size, state: state}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.mu.Lock()
			n.conns = append(n.conns, c)
			n.mu.Unlock()
			serving.Go(func() { n.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		n.mu.Lock()
		for _, c := range n.conns {
			c.Close()
		}
		n.mu.Unlock()
		serving.Wait()
	})
	return n
}

func (n *nameNode) become(state string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = state
}

func (n *nameNode) asked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.calls)
}

// serve speaks Hadoop's RPC: after "hrpc", version, class and authentication, packets of a length and delimited messages.
func (n *nameNode) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	if _, err := io.ReadFull(r, make([]byte, 7)); err != nil {
		return
	}
	for first := true; ; first = false {
		var size uint32
		if binary.Read(r, binary.BigEndian, &size) != nil {
			return
		}
		packet := make([]byte, size)
		if _, err := io.ReadFull(r, packet); err != nil {
			return
		}
		if first { // the context of the connection
			continue
		}
		header, rest := delimited(packet)
		method, _ := delimited(rest)
		if answer := n.answer(string(field(method, 1)), varint(header, 3)); answer != nil {
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

func (n *nameNode) answer(method string, call uint64) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	if method != "renewLease" {
		n.calls = append(n.calls, method)
	}
	header := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(protowire.DecodeZigZag(call)))
	switch n.state {
	case stuck:
		return nil
	case standby:
		header = protowire.AppendVarint(protowire.AppendTag(header, 2, protowire.VarintType), 1)
		header = protowire.AppendString(protowire.AppendTag(header, 4, protowire.BytesType), "org.apache.hadoop.ipc.StandbyException")
		return packet(header)
	}
	return packet(protowire.AppendVarint(protowire.AppendTag(header, 2, protowire.VarintType), 0), n.status())
}

// status is a GetFileInfoResponseProto.
func (n *nameNode) status() []byte {
	number := func(b []byte, field protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
	}
	text := func(b []byte, field protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
	}
	st := number(nil, 1, 2) // a file
	st = text(st, 2, []byte("file"))
	st = number(st, 3, n.size)
	st = text(st, 4, number(nil, 1, 0o644))
	st = text(text(st, 5, []byte("hbase")), 6, []byte("hbase"))
	st = number(number(st, 7, 0), 8, 0)
	return text(nil, 1, st)
}

func packet(messages ...[]byte) []byte {
	var body []byte
	for _, m := range messages {
		body = protowire.AppendBytes(body, m)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func delimited(b []byte) (message, rest []byte) {
	m, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return nil, nil
	}
	return m, b[n:]
}

// each calls f with the fields of a message until it returns true.
func each(b []byte, f func(field protowire.Number, value []byte) bool) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 || f(num, b[n:n+size]) {
			return
		}
		b = b[n+size:]
	}
}

func field(b []byte, want protowire.Number) (value []byte) {
	each(b, func(num protowire.Number, v []byte) bool {
		if num == want {
			value, _ = protowire.ConsumeBytes(v)
		}
		return num == want
	})
	return value
}

func varint(b []byte, want protowire.Number) (value uint64) {
	each(b, func(num protowire.Number, v []byte) bool {
		if num == want {
			value, _ = protowire.ConsumeVarint(v)
		}
		return num == want
	})
	return value
}

func size(t *testing.T, f *FS) uint64 {
	t.Helper()
	st, err := f.Stat("/file")
	if err != nil {
		t.Fatal(err)
	}
	return uint64(st.Size)
}

func dialAll(t *testing.T, timeout time.Duration, nodes ...*nameNode) *FS {
	t.Helper()
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.Addr().String())
	}
	f, err := Dial(Config{NameNodes: addrs, User: "hbase", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	f.pause = 10 * time.Millisecond
	return f
}

// A name node on standby says so when it is asked: the other one of the pair is asked instead, also when they change places.
func TestStandbyNameNode(t *testing.T) {
	a, b := startNameNode(t, standby, 1), startNameNode(t, active, 2)
	f := dialAll(t, 10*time.Second, a, b)
	if got := size(t, f); got != 2 {
		t.Errorf("a file of %d bytes: asked the standby", got)
	}
	if a.asked() == 0 {
		t.Error("the first was never asked: the test shows nothing")
	}
	a.become(active)
	b.become(standby)
	// The one that was on standby is left alone for 5 s.
	f.pause = 2 * time.Second
	if got := size(t, f); got != 1 {
		t.Errorf("a file of %d bytes after the fail-over", got)
	}
}

// A name node that does not answer any more is left for the other one; what it answers late is not taken for the next answer.
func TestStuckNameNode(t *testing.T) {
	a, b := startNameNode(t, active, 1), startNameNode(t, standby, 2)
	f := dialAll(t, 500*time.Millisecond, a, b)
	if got := size(t, f); got != 1 {
		t.Errorf("a file of %d bytes", got)
	}
	a.become(stuck)
	b.become(active)
	for range 3 {
		if got := size(t, f); got != 2 {
			t.Errorf("a file of %d bytes after the fail-over", got)
		}
	}
	if !slices.Contains(b.calls, "getFileInfo") {
		t.Errorf("the second was asked for %v", b.calls)
	}
}

// Where no name node is active that is told, as something that may heal.
func TestNoActiveNameNode(t *testing.T) {
	a, b := startNameNode(t, active, 1), startNameNode(t, standby, 2)
	f := dialAll(t, 10*time.Second, a, b)
	a.become(standby)
	if _, err := f.Stat("/file"); !errors.Is(err, filesystem.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
}
