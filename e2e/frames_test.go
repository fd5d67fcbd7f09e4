//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
)

// field appends a length-delimited protobuf field.
func field(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

// connectionHeader is HBase's ConnectionHeader: service_name = 2, cell_block_codec_class = 3.
func connectionHeader(codec string) []byte {
	return field(field(nil, 2, []byte("AdminService")), 3, []byte(codec))
}

const goodCodec = "org.apache.hadoop.hbase.codec.KeyValueCodecWithTags"

var preamble = []byte("HBas\x00\x50")

// TestBogusFrames sends what no region server would send. Each gets the protocol's own error answer; the process stays
// up, stays small, and goes on with the real ones.
func TestBogusFrames(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a")
	load(t, table, 300, "a")
	w := (&pipe{name: table, tables: table}).start(t)
	awaitStreaming(t, w)
	addr := advertised(t, w)

	request := func(method string) []byte { // RequestHeader: call_id = 1, method_name = 3
		h := field(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7), 3, []byte(method))
		return framed(protowire.AppendBytes(nil, h))
	}
	hello := append(append([]byte(nil), preamble...), framed(connectionHeader(goodCodec))...)
	for _, tc := range []struct {
		name, class string
		bytes       []byte
	}{
		{"unknown preamble", "FatalConnectionException", []byte("GET / HTTP/1.1\r\n\r\n")},
		{"unknown codec", "UnsupportedCellCodecException", append(append([]byte(nil), preamble...), framed(connectionHeader("org.example.MyCodec"))...)},
		{"unknown method", "UnsupportedOperationException", append(append([]byte(nil), hello...), request("DropEverything")...)},
		{"length of 2 GiB", "RequestTooBigException", append(append([]byte(nil), hello...), append([]byte{0x7f, 0xff, 0xff, 0xff}, request("ReplicateWALEntry")[4:]...)...)},
		{"negative length", "Exception", append(append([]byte(nil), hello...), 0xff, 0xff, 0xff, 0xfe, 0, 0)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for i := range 20 {
				answer, err := talk(addr, tc.bytes, tc.class)
				if err != nil {
					t.Fatalf("frame %d: answered with %q, %v; want a %s", i, answer, err, tc.class)
				}
			}
		})
	}
	peak, err := w.PeakRSS()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("VmHWM after 100 bogus frames: %d MiB", peak>>20)
	if peak >= 256<<20 {
		t.Errorf("VmHWM is %d MiB, want less than 256", peak>>20)
	}
	write(t, table, judge.Put("after the noise", "a", "q", "v"))
	identical(t, table, judge.ScanOptions{})
}

// TestStrangersAreNotServed: the port takes connections from the source's region servers alone.
func TestStrangersAreNotServed(t *testing.T) {
	t.Parallel()
	table := testenv.Name(t)
	createTable(t, table, "a")
	load(t, table, 10, "a")
	w := (&pipe{name: table, tables: table, source: keys{"hbase.peer.listen": "0.0.0.0:0"}}).start(t)
	awaitStreaming(t, w)
	addr := advertised(t, w)
	hello := append(append([]byte(nil), preamble...), framed(connectionHeader(goodCodec))...)
	stranger := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: 5 * time.Second}
	conn, err := stranger.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	_, werr := conn.Write(hello)
	answer, rerr := io.ReadAll(conn)
	if len(answer) > 0 || werr == nil && rerr != nil && strings.Contains(rerr.Error(), "timeout") {
		t.Errorf("a stranger was answered with %q, %v; want the connection closed", answer, rerr)
	}
	if _, err := w.WaitLog(testenv.Context(t, 10*time.Second), "127.0.0.2.*hbase.peer.allow"); err != nil {
		t.Error("the refusal is not in the log: ", err)
	}
	write(t, table, judge.Put("by a friend", "a", "q", "v"))
	identical(t, table, judge.ScanOptions{})
}

// advertised is where waltap serves as a region server.
func advertised(t *testing.T, w *testenv.Waltap) string {
	t.Helper()
	line, err := w.WaitLog(testenv.Context(t, 30*time.Second), `advertised=localhost:\d+`)
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + regexp.MustCompile(`advertised=localhost:(\d+)`).FindStringSubmatch(line)[1]
}

// talk sends bytes and returns what is answered until that holds want; else, when the other side closes or a minute has passed, with an error.
func talk(addr string, b []byte, want string) ([]byte, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(b); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	var answer []byte
	part := make([]byte, 4096)
	for !strings.Contains(string(answer), want) {
		n, err := conn.Read(part)
		answer = append(answer, part[:n]...)
		if n == 0 && err != nil {
			return answer, err
		}
	}
	return answer, nil
}
