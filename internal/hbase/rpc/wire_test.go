package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

// recorded is one call as a handler saw it.
type recorded struct {
	Service, Method, User, Version string
	Codec                          cell.Codec
	Timeout                        string
	ParamBytes                     int
	Cells                          []string
}

func recorder(mu *sync.Mutex, calls *[]recorded) Handler {
	return func(_ context.Context, c *Call) {
		r := recorded{
			Service: c.Service, Method: c.Method, User: c.User, Version: c.ClientVersion,
			Codec: c.Codec, Timeout: c.Deadline.Sub(c.Received).String(), ParamBytes: len(c.Param),
		}
		cells := cell.NewReader(c.Cells, c.Codec, c.CellBytes)
		for {
			var k cell.Cell
			if _, err := cells.Next(&k, nil); err == io.EOF {
				break
			} else if err != nil {
				c.Fail(ClassIOException, err.Error(), false)
				return
			}
			r.Cells = append(r.Cells, string(k.Row)+" "+k.Type.String())
		}
		mu.Lock()
		*calls = append(*calls, r)
		mu.Unlock()
		c.Reply(nil)
	}
}

func TestServerReadsRecordedSource(t *testing.T) {
	cells := []string{
		"row-put Put", "row-put Put", "row-put Put", "row-empty Put", "row-ttl Put", "row-del Delete", "row-del DeleteColumn",
		"row-del DeleteFamily", "row-del DeleteFamilyVersion", "row-gone DeleteFamily", "row-gone DeleteFamily", "row-incr Put",
		"item\x00\xff Put", "row-mix Put", "row-mix DeleteColumn",
	}
	for _, test := range []struct {
		file  string
		codec cell.Codec
		reply string
	}{
		{"replicate-2.6.4-tags.bin", cell.KeyValueCodecWithTags, "00000004 02 0800 00"},
		{"replicate-2.6.4-notags.bin", cell.KeyValueCodec, "00000004 02 0800 00"},
	} {
		t.Run(test.file, func(t *testing.T) {
			var mu sync.Mutex
			var calls []recorded
			_, addr := startServer(t, ServerConfig{Services: map[string]Handler{"AdminService": recorder(&mu, &calls)}})
			c := dialRaw(t, addr)
			c.send(readFile(t, test.file))
			want := unhex(t, test.reply)
			if got := c.read(len(want)); !bytes.Equal(got, want) {
				t.Errorf("answer %x, want %x", got, want)
			}
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff([]recorded{{
				Service: "AdminService", Method: "ReplicateWALEntry", User: "root", Version: "2.6.4-hadoop3",
				Codec: test.codec, Timeout: "55s", ParamBytes: 1152, Cells: cells,
			}}, calls); diff != "" {
				t.Errorf("calls differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServerRefusesRecordedCompressor(t *testing.T) {
	_, addr := startServer(t, ServerConfig{Services: echoServices()})
	c := dialRaw(t, addr)
	c.send(readFile(t, "replicate-2.6.4-gzip.bin"))
	c.expectException(connectionCallID, classUnsupportedCompression, "org.apache.hadoop.io.compress.GzipCodec")
	c.expectEnd()
}

// The answer HBase expects for call id 1, byte by byte.
func TestServerLiteralAnswers(t *testing.T) {
	services := map[string]Handler{"AdminService": func(_ context.Context, c *Call) {
		if c.Method == "Fail" {
			c.Fail("E", "m", true)
			return
		}
		c.Reply(nil)
	}}
	_, addr := startServer(t, ServerConfig{Services: services})
	c := dialRaw(t, addr)
	// User "u", service "AdminService", KeyValueCodec.
	c.send([]byte("HBas\x00P"), unhex(t, "0000003c 0a03 0a0175 120c"), []byte("AdminService"),
		unhex(t, "1a27"), []byte("org.apache.hadoop.hbase.codec.KeyValueCodec")[:39])
	c.expectException(connectionCallID, classUnsupportedCodec, `"org.apache.hadoop.hbase.codec.KeyValueC"`)
	c.expectEnd()

	c = dialRaw(t, addr)
	c.send([]byte("HBas\x00P"), unhex(t, "00000040 0a03 0a0175 120c"), []byte("AdminService"),
		unhex(t, "1a2b"), []byte("org.apache.hadoop.hbase.codec.KeyValueCodec"))
	for _, test := range []struct{ request, answer string }{
		// {call_id: 1, method_name: "M"}
		{"00000006 05 0801 1a014d", "00000004 02 0801 00"},
		// {call_id: 0, method_name: "M", request_param: true, timeout: 60000}, empty parameter
		{"0000000d 0b 0800 1a014d 2001 38e0d403 00", "00000004 02 0800 00"},
		// {call_id: 300, method_name: "Fail"}: {exception: {class: "E", stack: "E: m", do_not_retry}}
		{"0000000a 09 08ac02 1a044661696c", "00000011 10 08ac02 120b 0a0145 1204453a206d 2801"},
		// no header at all: fields have their defaults
		{"00000001 00", "00000004 02 0800 00"},
	} {
		c.send(unhex(t, test.request))
		want := unhex(t, test.answer)
		if got := c.read(len(want)); !bytes.Equal(got, want) {
			t.Errorf("request %s: answer %x, want %x", test.request, got, want)
		}
	}
}

func TestClientLiteralRequests(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	want := bytes.Join([][]byte{
		[]byte("HBas\x00P"), unhex(t, "00000040 0a03 0a0175 120c"), []byte("AdminService"),
		unhex(t, "1a2b"), []byte("org.apache.hadoop.hbase.codec.KeyValueCodec"),
		// {call_id: 0, method_name: "M", request_param: true, cell_block_meta: {length: 3}}, VersionInfo{version: "v"}, cells
		unhex(t, "00000013 0b 0800 1a014d 2001 2a020803 03 0a0176 010203"),
		// {call_id: 1, method_name: "N", request_param: false}
		unhex(t, "00000008 07 0801 1a014e 2000"),
	}, nil)
	got := make(chan []byte, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			got <- nil
			return
		}
		defer conn.Close()
		b := make([]byte, len(want))
		n, _ := io.ReadFull(conn, b[:len(want)-12])
		// {call_id: 0, cell_block_meta: {length: 2}}, VersionInfo{version: "w"}, cells
		_, _ = conn.Write(unhex(t, "0000000d 06 0800 1a020802 03 0a0177 0405"))
		m, _ := io.ReadFull(conn, b[len(want)-12:])
		_, _ = conn.Write(unhex(t, "00000004 02 0801 00"))
		got <- b[:n+m]
	}()

	c := dial(t, ln.Addr().String(), DialOptions{User: "u"})
	var resp pb.VersionInfo
	cells, err := c.Call(context.Background(), "M", version("v"), []byte{1, 2, 3}, &resp)
	if err != nil || !bytes.Equal(cells, []byte{4, 5}) || resp.GetVersion() != "w" {
		t.Errorf("M: %v, %v, %v", &resp, cells, err)
	}
	if cells, err := c.Call(context.Background(), "N", nil, nil, nil); err != nil || cells != nil {
		t.Errorf("N: %v, %v", cells, err)
	}
	if b := <-got; !bytes.Equal(b, want) {
		t.Errorf("sent %x\nwant %x", b, want)
	}
}

// answering returns the address of a server that accepts one connection,
// sends answer once something was asked, and leaves the connection open.
func answering(t testing.TB, answer []byte) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if skipHello(conn) == nil {
			_, _ = conn.Write(answer)
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// skipHello reads a client's handshake and the first byte of its first request.
func skipHello(conn net.Conn) error {
	start := make([]byte, preambleLen+4)
	if _, err := io.ReadFull(conn, start); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(start[preambleLen:]))+1)
	return err
}

func TestClientReadsRecordedScan(t *testing.T) {
	c := dial(t, answering(t, readFile(t, "scan-response-2.6.4-tags.bin")), DialOptions{Codec: cell.KeyValueCodecWithTags})
	var resp pb.ScanResponse
	cells, err := c.Call(testContext(t), "Scan", nil, nil, &resp)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint32{4, 1, 2, 2, 3, 2}, resp.GetCellsPerResult()); diff != "" {
		t.Error(diff)
	}
	var last cell.Cell
	n := 0
	for b := cells; len(b) > 0; n++ {
		used, err := cell.KeyValueCodecWithTags.Decode(b, &last)
		if err != nil {
			t.Fatal(err)
		}
		b = b[used:]
	}
	if n != 14 || string(last.Row) != "row-ttl" || len(last.Tags) != 11 {
		t.Errorf("%d cells, the last %+v", n, last)
	}
}

func TestClientExceptions(t *testing.T) {
	const class = "org.apache.hadoop.hbase.exceptions.RegionMovedException"
	frame := func(id uint32, x *pb.ExceptionResponse) []byte {
		b, err := appendFrame(nil, &pb.ResponseHeader{CallId: &id, Exception: x}, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	moved := &pb.ExceptionResponse{
		ExceptionClassName: proto.String(class),
		StackTrace:         proto.String(class + ": Region moved\nto: elsewhere\n\tat org.apache.A.b(A.java:1)\n\tat x"),
		Hostname:           proto.String("rs2"), Port: proto.Int32(16020), DoNotRetry: proto.Bool(true),
	}
	c := dial(t, answering(t, frame(0, moved)), DialOptions{})
	_, err := c.Call(testContext(t), "Scan", nil, nil, nil)
	var remote *RemoteError
	if !errors.As(err, &remote) {
		t.Fatalf("got %v", err)
	}
	want := &RemoteError{Method: "Scan", Class: class, Message: "Region moved\nto: elsewhere", Host: "rs2", Port: 16020, DoNotRetry: true}
	if diff := cmp.Diff(want, remote); diff != "" {
		t.Error(diff)
	}
	if !IsRemote(err, "RegionMovedException") || !IsRemote(err, class) || IsRemote(err, "MovedException") || IsRemote(io.EOF, class) {
		t.Errorf("IsRemote misjudges %v", err)
	}
	if s := err.Error(); !strings.HasPrefix(s, "Scan: "+class+": Region moved") || !strings.HasSuffix(s, "(see rs2:16020)") {
		t.Errorf("error text %q", s)
	}
	if c.Err() != nil {
		t.Errorf("connection broken: %v", c.Err())
	}

	fatal := exceptionResponse(classFatalConnection, "no", true)
	c = dial(t, answering(t, frame(connectionCallID, fatal)), DialOptions{})
	_, err = c.Call(testContext(t), "Scan", nil, nil, nil)
	var broken *ConnError
	if !errors.As(err, &broken) || !IsRemote(err, "FatalConnectionException") || c.Err() == nil {
		t.Errorf("got %v, connection %v", err, c.Err())
	}
	if diff := cmp.Diff(fatal, exceptionResponse(classFatalConnection, "no", true), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}
