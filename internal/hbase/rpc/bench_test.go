package rpc

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/waltap/waltap/internal/hbase/cell"
)

// BenchmarkCells sends cell blocks of 8 MiB to a server that decodes them.
func BenchmarkCells(b *testing.B) {
	k := cell.Cell{Row: []byte("row-00000001"), Family: []byte("cf"), Qualifier: []byte("q"), Type: cell.Put, Value: make([]byte, 100)}
	one := cell.KeyValueCodecWithTags.Append(nil, &k)
	block := bytes.Repeat(one, 8<<20/len(one))
	var arena []byte
	_, addr := startServer(b, ServerConfig{Services: map[string]Handler{"AdminService": func(_ context.Context, c *Call) {
		arena = arena[:0]
		r := cell.NewReader(c.Cells, c.Codec, c.CellBytes)
		for {
			var k cell.Cell
			var err error
			if arena, err = r.Next(&k, arena); err == io.EOF {
				c.Reply(nil)
				return
			} else if err != nil {
				c.Fail(ClassIOException, err.Error(), false)
				return
			}
		}
	}}})
	c := dial(b, addr, DialOptions{Codec: cell.KeyValueCodecWithTags})
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Call(context.Background(), "M", nil, block, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCall is the round trip of a small call.
func BenchmarkCall(b *testing.B) {
	_, addr := startServer(b, ServerConfig{Services: echoServices()})
	c := dial(b, addr, DialOptions{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Call(context.Background(), "Echo", version("x"), nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}
