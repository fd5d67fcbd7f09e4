package mutate

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/replaytest"
)

// recorded is the cluster of testdata/README.md, whose one server plays a recording.
type recorded struct {
	conn *rpc.Conn
}

func play(t *testing.T, recording string) *Writer {
	t.Helper()
	conn, err := rpc.Dial(t.Context(), replaytest.Serve(t, "testdata/"+recording), rpc.DialOptions{Service: "ClientService", Codec: Codec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w := New(recorded{conn}, 0)
	w.pause = time.Millisecond
	return w
}

func (r recorded) Regions(context.Context, string) ([]admin.Region, error) {
	server := admin.ServerName{Host: "h", Port: 1, StartCode: 1}
	return []admin.Region{{Name: []byte("cap,,1"), Encoded: "1", End: []byte("m"), Server: server}, {Name: []byte("cap,m,2"), Encoded: "2", Start: []byte("m"), Server: server}}, nil
}

func (r recorded) Client(context.Context, admin.ServerName) (*rpc.Conn, error) { return r.conn, nil }

func cf(family, row, qualifier string, timestamp int64, typ cell.Type) cell.Cell {
	return cell.Cell{Row: []byte(row), Family: []byte(family), Qualifier: []byte(qualifier), Timestamp: timestamp, Type: typ}
}

var recordedWrite = Batch{Table: "cap", Mutations: []Mutation{
	Cells{cf("cf", "a", "q", 5, cell.Put)}, Cells{cf("cf", "z", "q", 5, cell.Put), cf("cf", "z", "", 6, cell.Put)}, Cells{cf("cf", "a", "q", 4, cell.DeleteColumn)},
}}

func TestRecordedAnswers(t *testing.T) {
	if err := play(t, "write.frames").Write(t.Context(), recordedWrite); err != nil {
		t.Error(err)
	}
	noFamily := Batch{Table: "cap", Mutations: []Mutation{Cells{cf("cf", "a", "q", 5, cell.Put)}, Cells{cf("nope", "b", "q", 5, cell.Put)}, Cells{cf("cf", "c", "q", 5, cell.Put)}}}
	if err := play(t, "no-family.frames").Write(t.Context(), noFamily); !rpc.IsRemote(err, "NoSuchColumnFamilyException") {
		t.Errorf("%v, want that there is no such family", err)
	}
	absent := Columns{Table: "cap", Puts: []Cells{
		Cells{cf("cf", "a", "q", 7, cell.Put)}, Cells{cf("cf", "z", "", 7, cell.Put)}, Cells{cf("cf", "z", "new", 7, cell.Put), cf("cf", "z", "new", 6, cell.Put)},
	}}
	if kept, err := play(t, "absent.frames").PutAbsent(t.Context(), absent); err != nil || kept != 2 {
		t.Errorf("%d cells left out, %v; want 2", kept, err)
	}
}

// recordedMulti is the first answer of a recording.
func recordedMulti(t testing.TB, recording string) (*pb.MultiResponse, []byte) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + recording)
	if err != nil {
		t.Fatal(err)
	}
	frames, err := replaytest.Frames(data)
	if err != nil {
		t.Fatal(err)
	}
	frame := frames[0][4:]
	_, n := protowire.ConsumeBytes(frame) // header
	message, m := protowire.ConsumeBytes(frame[n:])
	if n < 0 || m < 0 {
		t.Fatal("the recording is no answer")
	}
	resp := &pb.MultiResponse{}
	if err := proto.Unmarshal(message, resp); err != nil {
		t.Fatal(err)
	}
	return resp, frame[n+m:]
}

func TestOneRegionOfARecordedAnswerHasFailed(t *testing.T) {
	resp, block := recordedMulti(t, "not-serving.frames")
	got, err := readMulti(resp, block, []int{2, 1})
	if err != nil {
		t.Fatal(err)
	}
	if got[0][0].err != nil || got[0][1].err != nil || !rpc.IsRemote(got[1][0].err, "NotServingRegionException") || !mayHeal(got[1][0].err) || !mustRelocate(got[1][0].err) {
		t.Errorf("outcomes %+v, want the second region not served", got)
	}
	resp, block = recordedMulti(t, "absent.frames")
	got, err = readMulti(resp, block, []int{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, region := range got {
		for _, k := range region[0].cells {
			text += fmt.Sprintf("%s %s@%d %q ", k.Row, column(&k), k.Timestamp, k.Value)
		}
	}
	if want := `a cf:q@5 "" z cf:@6 "" `; text != want {
		t.Errorf("cells %s, want %s", text, want)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	resp, block := recordedMulti(t, "absent.frames")
	one := int32(1)
	for name, tc := range map[string]struct {
		resp  *pb.MultiResponse
		block []byte
		sizes []int
	}{
		"a region too few":   {resp, block, []int{1, 1, 1}},
		"an unknown action":  {resp, block, []int{1, 0}},
		"bytes behind":       {resp, append(append([]byte{}, block...), 1), []int{1, 1}},
		"cells that end":     {resp, block[:len(block)-1], []int{1, 1}},
		"no cells":           {&pb.MultiResponse{RegionActionResult: []*pb.RegionActionResult{{ResultOrException: []*pb.ResultOrException{{Result: &pb.Result{AssociatedCellCount: &one}}}}}}, nil, []int{1}},
		"less than no cells": {&pb.MultiResponse{RegionActionResult: []*pb.RegionActionResult{{ResultOrException: []*pb.ResultOrException{{Result: &pb.Result{AssociatedCellCount: proto.Int32(-1)}}}}}}, nil, []int{1}},
	} {
		if got, err := readMulti(tc.resp, tc.block, tc.sizes); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

// FuzzReadMulti: no answer makes it panic, and what it takes for done was said to be done.
func FuzzReadMulti(f *testing.F) {
	for _, name := range []string{"write.frames", "no-family.frames", "absent.frames", "not-serving.frames"} {
		resp, block := recordedMulti(f, name)
		b, err := proto.Marshal(resp)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, block, uint8(2), uint8(1))
		f.Add(b, block, uint8(1), uint8(1))
	}
	f.Fuzz(func(t *testing.T, message, block []byte, first, second uint8) {
		resp := &pb.MultiResponse{}
		if proto.Unmarshal(message, resp) != nil {
			return
		}
		got, err := readMulti(resp, block, []int{int(first), int(second)})
		if err != nil {
			return
		}
		for i, outcomes := range got {
			done := 0
			for _, o := range outcomes {
				if o.err == nil {
					done++
				}
			}
			if of := resp.RegionActionResult[i]; done > len(of.ResultOrException) || of.Exception != nil && done > 0 {
				t.Errorf("region %d: %d actions done, the answer is %v", i, done, of)
			}
		}
	})
}
