package hbase

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/mutate"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/schema"
)

func TestRunsOfPutsAndOfMarkersAreMutations(t *testing.T) {
	c := change("r", schema.Put, schema.Put, schema.Delete, schema.DeleteFamily, schema.DeleteColumn, schema.Put)
	c.Cells[1].Tags = []byte{0, 9, 8, 0, 0, 0, 0, 0, 0, 3, 232}
	c.to = &table{renames: map[string][]byte{"f": []byte("g")}}
	got := ""
	var k chunk
	k.add(c)
	for _, m := range k.tables[0].Mutations {
		block, n := m.Append(nil), 0
		for range m.Len() {
			var k cell.Cell
			n, _ = mutate.Codec.Decode(block, &k)
			block = block[n:]
			got += fmt.Sprintf("%s %s:%s@%d %s %s %x, ", k.Row, k.Family, k.Qualifier, k.Timestamp, k.Type, k.Value, k.Tags)
		}
		if len(block) > 0 || string(m.Row()) != "r" {
			t.Errorf("%d bytes are left, row %q", len(block), m.Row())
		}
		got += fmt.Sprint(m.Put(), "| ")
	}
	want := "r g:0@5 Put v , r g:1@5 Put v 00090800000000000003e8, true| r g:2@5 Delete v , r g:3@5 DeleteFamily v , r g:4@5 DeleteColumn v , false| r g:5@5 Put v , true| "
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAChunkHasOneListOfOriginsAndIsBounded(t *testing.T) {
	var k chunk
	var chunks []string // the mutations of each table
	end := func() {
		var tables []string
		for _, b := range k.tables {
			tables = append(tables, fmt.Sprintf("%s %d %x", b.Table, len(b.Mutations), b.Attributes[mutate.ClusterIDs]))
		}
		chunks = append(chunks, strings.Join(tables, ", "))
		k.reset()
	}
	write := func(changes ...mapped) {
		for _, c := range changes {
			if !k.takes(c) {
				end()
			}
			k.add(c)
		}
	}
	other := change("r", schema.Put)
	other.Source.Origins = []schema.UUID{{0xff, 15: 9}}
	elsewhere := change("r", schema.Put)
	elsewhere.to = &table{name: "shop:u"}
	write(change("r", schema.Put), elsewhere, change("s", schema.Put), other, change("r", schema.Put))
	end()
	for i := range 3000 {
		write(change(fmt.Sprint(i), schema.Put, schema.DeleteColumn)) // two mutations each
	}
	big := change("big", schema.Put)
	big.Cells[0].Value = make([]byte, maxCallBytes)
	write(to(big.to, big.Change), change("behind", schema.Put))
	end()
	const (
		id  = "0000000101000000000000000000000000000000"
		ids = "00000002ff00000000000000000000000000000901000000000000000000000000000000"
	)
	table := change("r", schema.Put).to.name
	want := []string{
		table + " 2 " + id + ", shop:u 1 " + id, table + " 1 " + ids, table + " 1 " + id, // by origins
		table + " 4000 " + id, table + " 2000 " + id, table + " 1 " + id, table + " 1 " + id, // by size: the big one is alone
	}
	if !slices.Equal(chunks, want) {
		t.Errorf("chunks\n%s\nwant\n%s", strings.Join(chunks, "\n"), strings.Join(want, "\n"))
	}
}

func TestRefusalsOfReplication(t *testing.T) {
	for want, errs := range map[bool][]error{
		true: {
			&rpc.RemoteError{Class: "java.lang.UnsupportedOperationException", Message: "ReplicateWALEntry"},
			// As 2.6.4 has it.
			&rpc.RemoteError{Class: "org.apache.hadoop.hbase.DoNotRetryIOException", Message: "/127.0.0.1:16020 is unable to read call parameter from client 127.0.0.1; java.lang.UnsupportedOperationException: ReplicateWALEntry"},
			&rpc.ConnError{Err: &rpc.RemoteError{Class: "org.apache.hadoop.hbase.ipc.UnknownServiceException", Message: "AdminService"}},
			fmt.Errorf("call: %w", &rpc.RemoteError{Class: "org.apache.hadoop.hbase.security.AccessDeniedException"}),
			&rpc.RemoteError{Class: "com.google.protobuf.ServiceException", Message: "Replication services are not initialized yet"},
		},
		false: {
			nil,
			errors.New("connection refused"),
			&rpc.ConnError{Err: errors.New("EOF")},
			&rpc.RemoteError{Class: "java.io.IOException", Message: "UnsupportedOperationException in some filter"},
			&rpc.RemoteError{Class: "com.google.protobuf.ServiceException", Message: "something else"},
			&rpc.RemoteError{Class: "org.apache.hadoop.hbase.DoNotRetryIOException", Message: "a cell is too large"},
			&rpc.RemoteError{Class: "org.apache.hadoop.hbase.TableNotFoundException"},
		},
	} {
		for _, err := range errs {
			if got := refusesReplication(err); got != want {
				t.Errorf("%v: refuses replication: %v", err, got)
			}
		}
	}
}

func TestPutsThatMarkersOfTheirChangeHide(t *testing.T) {
	k := func(typ schema.CellType, family, qualifier string, timestamp int64) schema.Cell {
		return schema.Cell{Family: []byte(family), Qualifier: []byte(qualifier), Timestamp: timestamp, Type: typ}
	}
	hidden := hiderOf(&schema.Change{Cells: []schema.Cell{
		k(schema.DeleteFamily, "a", "", 10), k(schema.DeleteFamily, "a", "", 8), k(schema.DeleteFamilyVersion, "b", "", 7),
		k(schema.DeleteColumn, "b", "q", 5), k(schema.DeleteColumn, "b", "q", 3), k(schema.Delete, "b", "p", 5), k(schema.DeleteFamily, "old", "", -5),
	}})
	for _, tc := range []struct {
		family, qualifier string
		timestamp         int64
		want              bool
	}{
		{"a", "q", 10, true}, {"a", "other", 1, true}, {"a", "q", 11, false},
		{"b", "q", 7, true}, {"b", "r", 7, true}, {"b", "r", 6, false}, {"b", "q", 6, false}, {"b", "q", 5, true}, {"b", "q", 4, true},
		{"b", "p", 5, true}, {"b", "p", 4, false}, {"b", "p", 6, false},
		{"old", "q", -5, true}, {"old", "q", -4, false}, {"c", "q", 1, false},
	} {
		put := k(schema.Put, tc.family, tc.qualifier, tc.timestamp)
		if got := hidden(&put); got != tc.want {
			t.Errorf("%s:%s@%d: hidden %v", tc.family, tc.qualifier, tc.timestamp, got)
		}
	}
	if put := k(schema.Put, "a", "q", 1); hiderOf(&schema.Change{Cells: []schema.Cell{put}})(&put) {
		t.Error("a put is hidden without a marker")
	}
}

func TestRoundsOfFilling(t *testing.T) {
	of := func(rows ...string) (list []mapped) {
		for _, row := range rows {
			list = append(list, change(row, schema.Put))
		}
		return list
	}
	if n := round(of("a", "b", "a", "c")); n != 2 {
		t.Errorf("the first round is of %d changes, want 2: a row must not be in one twice", n)
	}
	list := of("a", "b", "c")
	list[1].Source.Origins = []schema.UUID{{9}}
	if n := round(list); n != 1 {
		t.Errorf("the first round is of %d changes, want 1: b has other origins", n)
	}
	list = of("a", "b", "c")
	list[1].to = &table{name: "shop:u"}
	c := change("d", schema.Put, schema.DeleteFamily, schema.Put, schema.Put)
	c.Cells[2].Qualifier, c.Cells[2].Timestamp = c.Cells[0].Qualifier, 6
	c.Cells[0].Timestamp, c.Cells[3].Timestamp = 7, 5
	batches, left := fillings(append(list, c))
	if len(batches) != 2 || len(batches[0].Puts) != 3 || len(batches[1].Puts) != 1 || left != 2 {
		t.Fatalf("%d cells are left out of %+v; want the marker and the put that it hides, and two tables", left, batches)
	}
	if m := batches[0].Puts[2]; len(m) != 2 || m[0].Timestamp != 7 || m[1].Timestamp != 6 || m[0].Type != cell.Put {
		t.Errorf("the column of two versions is %+v", m)
	}
}

func TestWhichTagsNoClientMayWrite(t *testing.T) {
	tag := func(typ byte) []byte { return []byte{0, 2, typ, 'x'} }
	for _, tc := range []struct {
		tags     []byte
		reserved bool
	}{
		{nil, false}, {tag(8), false}, {tag(1), true}, {tag(2), true}, {tag(65), true},
		{slices.Concat(tag(8), tag(2)), true}, {slices.Concat(tag(8), tag(8)), false}, {[]byte{0, 9, 8}, true},
	} {
		c := change("r", schema.Put, schema.Put)
		c.Cells[1].Tags = tc.tags
		if got := to(c.to, c.Change).reserved; got != tc.reserved {
			t.Errorf("tags % x: reserved %v", tc.tags, got)
		}
	}
}

func TestWhichChangesNeedNoFurtherLook(t *testing.T) {
	last := change("r", schema.Put)
	for name, tc := range map[string]struct {
		change func(*schema.Change)
		alike  bool
	}{
		"the same":        {func(*schema.Change) {}, true},
		"another row":     {func(c *schema.Change) { c.Row = []byte("s") }, true},
		"another table":   {func(c *schema.Change) { c.Table = "shop:u" }, false},
		"another family":  {func(c *schema.Change) { c.Cells[0].Family = []byte("other") }, false},
		"a second family": {func(c *schema.Change) { c.Cells[1].Family = []byte("other") }, false},
	} {
		c := change("r", schema.Put, schema.Put)
		tc.change(c.Change)
		if got := last.alike(c.Change); got != tc.alike {
			t.Errorf("%s: %v, want %v", name, got, tc.alike)
		}
	}
	if (mapped{}).alike(last.Change) {
		t.Error("the first of a batch needs a look")
	}
}
