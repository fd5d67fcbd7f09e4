package hbase

import (
	"errors"
	"fmt"
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
	for _, m := range mutationsFrom(c) {
		for i := range m {
			got += fmt.Sprintf("%s %s:%s@%d %s %s %x, ", m[i].Row, m[i].Family, m[i].Qualifier, m[i].Timestamp, m[i].Type, m[i].Value, m[i].Tags)
		}
		got += "| "
	}
	want := "r g:0@5 Put v , r g:1@5 Put v 00090800000000000003e8, | r g:2@5 Delete v , r g:3@5 DeleteFamily v , r g:4@5 DeleteColumn v , | r g:5@5 Put v , | "
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAChunkHasOneListOfOriginsAndIsBounded(t *testing.T) {
	var b chunkBuilder
	other := change("r", schema.Put)
	other.Source.Origins = []schema.UUID{{0xff, 15: 9}}
	elsewhere := change("r", schema.Put)
	elsewhere.to = &table{name: "shop:u"}
	for _, c := range []mapped{change("r", schema.Put), elsewhere, other, change("r", schema.Put)} {
		b.add(c)
	}
	if len(b.chunks) != 3 || len(b.chunks[0].tables) != 2 || len(b.chunks[1].tables) != 1 || len(b.chunks[2].tables) != 1 {
		t.Fatalf("chunks %+v, want three, the first with two tables", b.chunks)
	}
	const want = "00000002ff00000000000000000000000000000901000000000000000000000000000000"
	if got := fmt.Sprintf("%x", b.chunks[1].tables[0].Attributes[mutate.ClusterIDs]); got != want {
		t.Errorf("cluster ids %s, want the origin, then the source: %s", got, want)
	}
	b = chunkBuilder{}
	for i := range 3000 {
		b.add(change(fmt.Sprint(i), schema.Put, schema.DeleteColumn)) // two mutations each
	}
	big := change("big", schema.Put)
	big.Cells[0].Value = make([]byte, maxCallBytes)
	b.add(big)
	b.add(change("behind", schema.Put))
	var sizes []int
	for _, c := range b.chunks {
		sizes = append(sizes, len(c.tables[0].Mutations))
	}
	if fmt.Sprint(sizes) != "[4000 2000 1 1]" {
		t.Errorf("mutations of the chunks %v, want 4000, 2000, the big one alone, and the rest", sizes)
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
	if len(batches) != 2 || len(batches[0].Mutations) != 3 || len(batches[1].Mutations) != 1 || left != 2 {
		t.Fatalf("%d cells are left out of %+v; want the marker and the put that it hides, and two tables", left, batches)
	}
	if m := batches[0].Mutations[2]; len(m) != 2 || m[0].Timestamp != 7 || m[1].Timestamp != 6 || m[0].Type != cell.Put {
		t.Errorf("the column of two versions is %+v", m)
	}
}
