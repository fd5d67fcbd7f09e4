package hbase

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/schema"
)

func change(row string, types ...schema.CellType) mapped {
	c := &schema.Change{Table: "default:t", Row: []byte(row), Sequence: 7, Timestamp: 1000, Source: schema.Source{Region: "abc", ClusterID: schema.UUID{1}}}
	for i, typ := range types {
		c.Cells = append(c.Cells, schema.Cell{Family: []byte("f"), Qualifier: fmt.Append(nil, i), Timestamp: 5, Type: typ, Value: []byte("v")})
	}
	return to(&table{name: "default:t", wire: "t"}, c)
}

// entriesOf reads the message of c as it is sent.
func entriesOf(t *testing.T, c *call) []*pb.WALEntry {
	t.Helper()
	raw, err := proto.Marshal(c.request())
	if err != nil {
		t.Fatal(err)
	}
	var req pb.ReplicateWALEntryRequest
	if err := proto.Unmarshal(raw, &req); err != nil {
		t.Fatal(err)
	}
	if len(req.Entry) != c.entries {
		t.Errorf("%d entries were counted, %d are sent", c.entries, len(req.Entry))
	}
	return req.Entry
}

func TestCallsAreBuiltAgainInTheSameMemory(t *testing.T) {
	var b callBuilder
	for range 2 {
		large := change("large", schema.Put)
		large.Cells[0].Value = make([]byte, maxCallBytes)
		for _, c := range []mapped{change("a", schema.Put, schema.Delete), large, change("b", schema.Put)} {
			b.add(c)
		}
		var shape []string
		for _, c := range b.finish() {
			s := ""
			for _, e := range entriesOf(t, c) {
				s += fmt.Sprint(e.GetAssociatedCellCount(), " ")
			}
			rest, rows := c.cells, ""
			for len(rest) > 0 {
				var k cell.Cell
				n, err := cell.KeyValueCodecWithTags.Decode(rest, &k)
				if err != nil {
					t.Fatal(err)
				}
				rest, rows = rest[n:], rows+string(k.Row)+" "
			}
			shape = append(shape, s+rows)
		}
		if got, want := fmt.Sprintf("%q", shape), `["2 a a " "1 large " "1 b "]`; got != want {
			t.Errorf("calls %s, want %s", got, want)
		}
		b.reset()
	}
}

func TestCallsHoldAtMost4000Mutations(t *testing.T) {
	var b callBuilder
	for i := range 3000 {
		b.add(change(fmt.Sprint(i), schema.Put, schema.DeleteColumn)) // two mutations each
	}
	entries := 0
	for i, c := range b.finish() {
		if c.mutations > maxMutations {
			t.Errorf("call %d holds %d mutations, the limit is %d", i, c.mutations, maxMutations)
		}
		entries += len(entriesOf(t, c))
	}
	if len(b.calls) != 2 || entries != 3000 {
		t.Errorf("%d calls with %d entries, want 2 with 3000", len(b.calls), entries)
	}
}

func TestCallHasOneListOfOrigins(t *testing.T) {
	var b callBuilder
	a, x := change("a", schema.Put), change("a", schema.Put)
	x.Source.Origins = []schema.UUID{{9}}
	b.add(a)
	b.add(x)
	b.add(a)
	if len(b.calls) != 3 {
		t.Fatalf("%d calls, want 3: what has other origins must not share one", len(b.calls))
	}
	ids := entriesOf(t, b.calls[1])[0].Key.ClusterIds
	if len(ids) != 2 || ids[0].GetMostSigBits() != 9<<56 || ids[1].GetMostSigBits() != 1<<56 {
		t.Errorf("cluster ids %v, want the origin, then the source", ids)
	}
}

func TestCellsOfACallAreTheChanges(t *testing.T) {
	var b callBuilder
	c := change("r\x00\xff", schema.Put, schema.Delete, schema.DeleteFamily, schema.DeleteFamilyVersion, schema.DeleteColumn)
	c.to = &table{name: "shop:u", wire: "shop:u", renames: map[string][]byte{"f": []byte("g")}}
	c.Cells[0].Tags = []byte{0, 9, 8, 0, 0, 0, 0, 0, 0, 3, 232}
	b.add(c)
	call := b.finish()[0]
	e := entriesOf(t, call)[0]
	if string(e.Key.TableName) != "shop:u" || e.GetAssociatedCellCount() != 5 || e.Key.GetWriteTime() != 1000 || e.Key.GetLogSequenceNumber() != 7 {
		t.Errorf("entry %v", e)
	}
	rest := call.cells
	for i := range c.Cells {
		var k cell.Cell
		n, err := cell.KeyValueCodecWithTags.Decode(rest, &k)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
		want := c.Cells[i]
		if string(k.Row) != "r\x00\xff" || string(k.Family) != "g" || byte(k.Type) != byte(want.Type) || string(k.Qualifier) != string(want.Qualifier) || k.Timestamp != 5 || string(k.Tags) != string(want.Tags) {
			t.Errorf("cell %d is %+v, want %+v", i, k, want)
		}
	}
	if len(rest) != 0 {
		t.Errorf("%d bytes behind the last cell", len(rest))
	}
}
