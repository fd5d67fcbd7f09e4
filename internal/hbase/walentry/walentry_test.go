package walentry

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
)

// readAll reads a message; its entries are copies.
func readAll(b []byte) (entries []Entry, err error) {
	r := NewReader(b)
	var e Entry
	for {
		ok, err := r.Next(&e)
		if !ok || err != nil {
			return entries, err
		}
		c := e
		c.Clusters = append([][16]byte{}, e.Clusters...)
		entries = append(entries, c)
	}
}

// converted is what a message means by the generated code.
func converted(req *pb.ReplicateWALEntryRequest) (entries []Entry) {
	for _, p := range req.Entry {
		e := Entry{Region: p.Key.EncodedRegionName, Table: p.Key.TableName, Sequence: p.Key.GetLogSequenceNumber(), WriteTime: p.Key.GetWriteTime(),
			Cells: p.GetAssociatedCellCount(), Clusters: [][16]byte{}}
		for _, id := range p.Key.ClusterIds {
			var u [16]byte
			binary.BigEndian.PutUint64(u[:8], id.GetMostSigBits())
			binary.BigEndian.PutUint64(u[8:], id.GetLeastSigBits())
			e.Clusters = append(e.Clusters, u)
		}
		entries = append(entries, e)
	}
	return entries
}

// recorded is the parameter message of a call of HBase 2.6.4: behind the preamble and the connection header, a frame of its
// length, a delimited header and the delimited message.
func recorded(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("../rpc/testdata/replicate-2.6.4-tags.bin")
	if err != nil {
		t.Fatal(err)
	}
	b = b[6:]
	b = b[4+binary.BigEndian.Uint32(b):]
	b = b[4:]
	_, n := protowire.ConsumeBytes(b)
	param, m := protowire.ConsumeBytes(b[n:])
	if n < 0 || m < 0 {
		t.Fatal("no frame")
	}
	return param
}

// recorded1 is that of HBase 1.4.14.
func recorded1(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("../../../source/replication/testdata/hbase-1.4.14.param")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecorded(t *testing.T) {
	t.Run("2.6.4", func(t *testing.T) { testRecorded(t, recorded(t)) })
	t.Run("1.4.14", func(t *testing.T) { testRecorded(t, recorded1(t)) })
}

func testRecorded(t *testing.T, b []byte) {
	var req pb.ReplicateWALEntryRequest
	if err := proto.Unmarshal(b, &req); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 || len(got[0].Clusters) == 0 || got[0].Cells == 0 || len(got[0].Region) != 32 {
		t.Errorf("%d entries, the first is %+v", len(got), got)
	}
	if diff := cmp.Diff(converted(&req), got); diff != "" {
		t.Error(diff)
	}
}

func TestAppend(t *testing.T) {
	entries := []Entry{
		{Region: []byte("r1"), Table: []byte("ns:t"), Sequence: 1 << 60, WriteTime: 1790000000000, Clusters: [][16]byte{{0xff, 15: 1}, {}}, Cells: 20},
		{Region: []byte{}, Table: bytes.Repeat([]byte("t"), 300), Clusters: [][16]byte{}, Cells: -1},
	}
	var b []byte
	for i := range entries {
		b = Append(b, &entries[i])
	}
	var req pb.ReplicateWALEntryRequest
	if err := proto.Unmarshal(b, &req); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entries, converted(&req)); diff != "" {
		t.Error(diff)
	}
	if again, err := proto.Marshal(&req); err != nil || !bytes.Equal(again, b) {
		t.Errorf("%v: generated code writes %x, Append %x", err, again, b)
	}
	got, err := readAll(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entries, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	good := Append(nil, &Entry{Region: []byte("r"), Table: []byte("t"), Sequence: 1, WriteTime: 1, Clusters: [][16]byte{{1}}, Cells: 1})
	for name, test := range map[string]struct {
		message []byte
		want    string
	}{
		"cut off":       {good[:len(good)-1], "unexpected EOF"},
		"no key":        {[]byte{10, 2, 24, 1}, "entry 1: its key lacks a field"},
		"half a key":    {[]byte{10, 6, 10, 4, 10, 0, 18, 0}, "its key lacks a field"},
		"half a UUID":   {[]byte{10, 6, 10, 4, 66, 2, 8, 1}, "a cluster id lacks a half"},
		"second broken": {append(bytes.Clone(good), 10, 1, 10), "entry 2"},
		"behind":        {append(bytes.Clone(good), 0xff), "behind entry 1"},
	} {
		if _, err := readAll(test.message); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if proto.Unmarshal(test.message, new(pb.ReplicateWALEntryRequest)) == nil {
			t.Errorf("%s: the generated code takes it", name)
		}
	}
}

// FuzzReader: what the generated code takes, Reader reads the same; whatever it reads, it writes as the same again.
func FuzzReader(f *testing.F) {
	f.Add(recorded(f))
	f.Add(recorded1(f))
	f.Add(Append(nil, &Entry{Region: []byte("r"), Table: []byte("t"), Sequence: 1, WriteTime: 2, Clusters: [][16]byte{{1}, {2}}, Cells: 3}))
	f.Add([]byte{10, 6, 10, 4, 10, 0, 18, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readAll(b)
		var req pb.ReplicateWALEntryRequest
		if proto.Unmarshal(b, &req) == nil {
			if err != nil {
				t.Fatalf("the generated code takes it: %v", err)
			}
			if diff := cmp.Diff(converted(&req), got); diff != "" {
				t.Fatal(diff)
			}
		}
		if err != nil {
			return
		}
		var written []byte
		for i := range got {
			written = Append(written, &got[i])
		}
		again, err := readAll(written)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

// BenchmarkReader is the reading of the entries of a call of single puts; it allocates nothing.
func BenchmarkReader(b *testing.B) {
	var message []byte
	const entries = 1000
	for i := range uint64(entries) {
		message = Append(message, &Entry{Region: bytes.Repeat([]byte("r"), 32), Table: []byte("orders"), Sequence: 100_000 + i, WriteTime: 1790000000000 + i,
			Clusters: [][16]byte{{0xa}}, Cells: 1})
	}
	b.ReportAllocs()
	var e Entry
	for b.Loop() {
		r := NewReader(message)
		n := 0
		for ok, err := r.Next(&e); ok; ok, err = r.Next(&e) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != entries {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/entries, "ns/entry")
}
