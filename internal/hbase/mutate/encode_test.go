package mutate

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

// shareOf is a server's share of all mutations of b, which are of two regions.
func shareOf(b *Batch) *share {
	n := len(b.Mutations)
	return &share{done: make([]bool, n), regions: []regionShare{
		{&admin.Region{Name: []byte("region 0")}, 0, n / 2}, {&admin.Region{Name: []byte("region 1")}, n / 2, n},
	}}
}

// TestEncodedMultiIsTheMessage compares with what the protocol's own encoder makes.
func TestEncodedMultiIsTheMessage(t *testing.T) {
	b := writes("row", "", "a much longer row, for which a length takes one byte more: 0123456789012345678901234567890123456789012345678901234567890123456789")
	for i := range 300 {
		b.Mutations = append(b.Mutations, Cells{put(fmt.Sprint(i), "q", 5, "v"), put(fmt.Sprint(i), "r", 5, "v")})
	}
	b.Mutations = append(b.Mutations, Cells{{Row: []byte("d"), Family: []byte("f"), Type: cell.DeleteFamily, Tags: []byte("tags")}})
	s := shareOf(&b)
	want := &pb.MultiRequest{}
	var block []byte
	for _, r := range s.regions {
		actions := &pb.RegionAction{Region: specifier(r.region)}
		for n, m := range b.Mutations[r.from:r.end] {
			actions.Action = append(actions.Action, &pb.Action{Index: proto.Uint32(uint32(n)), Mutation: mutation(m, attributesOf(b.Attributes))})
			for _, k := range m.(Cells) {
				block = Codec.Append(block, &k)
			}
		}
		want.RegionAction = append(want.RegionAction, actions)
	}
	var e encoding
	for range 2 { // with the memory of the first
		if err := e.encode(&b, s); err != nil {
			t.Fatal(err)
		}
		got := &pb.MultiRequest{}
		if err := proto.Unmarshal(e.message, got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, protocmp.Transform()); d != "" || !slices.Equal(block, e.block) {
			t.Fatalf("(-want +got):\n%s", d)
		}
	}
}

// answerTo is an answer to s that says of all actions that they came through, the last ones first, as servers sort them.
func answerTo(s *share) *pb.MultiResponse {
	resp := &pb.MultiResponse{}
	for _, r := range s.regions {
		result := &pb.RegionActionResult{}
		for n := r.end - r.from - 1; n >= 0; n-- {
			result.ResultOrException = append(result.ResultOrException, &pb.ResultOrException{Index: proto.Uint32(uint32(n)), Result: &pb.Result{}})
		}
		resp.RegionActionResult = append(resp.RegionActionResult, result)
	}
	return resp
}

func TestOnlyAnAnswerThatAllCameThroughIsTakenAtOnce(t *testing.T) {
	b := writes("a", "b", "c")
	for name, change := range map[string]func(*pb.MultiResponse){
		"all came through":       func(*pb.MultiResponse) {},
		"the processed of 1.x":   func(r *pb.MultiResponse) { r.ProtoReflect().SetUnknown([]byte{2 << 3, 1}) },
		"nothing said of one":    func(r *pb.MultiResponse) { x := r.RegionActionResult[1]; x.ResultOrException = x.ResultOrException[1:] },
		"one said twice":         func(r *pb.MultiResponse) { r.RegionActionResult[0].ResultOrException[0].Index = proto.Uint32(0) },
		"one that was not asked": func(r *pb.MultiResponse) { r.RegionActionResult[0].ResultOrException[0].Index = proto.Uint32(3) },
		"one failed": func(r *pb.MultiResponse) {
			r.RegionActionResult[1].ResultOrException[2].Exception = exception("x")
		},
		"one failed, without a result": func(r *pb.MultiResponse) {
			x := r.RegionActionResult[1].ResultOrException[2]
			x.Exception, x.Result = exception("x"), nil
		},
		"neither result nor failure": func(r *pb.MultiResponse) { r.RegionActionResult[1].ResultOrException[2].Result = nil },
		"cells": func(r *pb.MultiResponse) {
			r.RegionActionResult[1].ResultOrException[2].Result.AssociatedCellCount = proto.Int32(1)
		},
		"a region failed":  func(r *pb.MultiResponse) { r.RegionActionResult[0].Exception = exception("x") },
		"a region too few": func(r *pb.MultiResponse) { r.RegionActionResult = r.RegionActionResult[:1] },
		"a region too many": func(r *pb.MultiResponse) {
			r.RegionActionResult = append(r.RegionActionResult, &pb.RegionActionResult{})
		},
	} {
		s := shareOf(&b)
		resp := answerTo(s)
		change(resp)
		raw, err := proto.Marshal(resp)
		if err != nil {
			t.Fatal(err)
		}
		want := name == "all came through" || name == "the processed of 1.x"
		if got := s.wroteAll(raw); got != want || slices.Contains(s.done, !want) {
			t.Errorf("%s: %v, done %v", name, got, s.done)
		}
	}
}

// FuzzWroteAll: what is taken at once for done, the whole reading of the answer says, too.
func FuzzWroteAll(f *testing.F) {
	b := writes("a", "b", "c")
	raw, err := proto.Marshal(answerTo(shareOf(&b)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)-2])
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := shareOf(&b)
		if !s.wroteAll(raw) {
			if slices.Contains(s.done, true) {
				t.Error("not all, and some are done")
			}
			return
		}
		resp := &pb.MultiResponse{}
		if err := proto.Unmarshal(raw, resp); err != nil {
			return // such as text that is no UTF-8 in a field that is passed over
		}
		done := 0
		if err := s.read(resp, nil, func(int, []cell.Cell) { done++ }); err != nil || done != len(b.Mutations) {
			t.Errorf("read whole: %d done, %v", done, err)
		}
	})
}

// BenchmarkWrite lays out a call for 4000 rows, and reads its answer.
func BenchmarkWrite(b *testing.B) {
	batch := Batch{Table: "default:t", Attributes: map[string][]byte{ClusterIDs: make([]byte, 20)}}
	for i := range 4000 {
		batch.Mutations = append(batch.Mutations, Cells{put(fmt.Sprintf("row-%08d", i), "q", 5, string(make([]byte, 100)))})
	}
	s := shareOf(&batch)
	raw, err := proto.Marshal(answerTo(s))
	if err != nil {
		b.Fatal(err)
	}
	var e encoding
	b.ReportAllocs()
	for b.Loop() {
		clear(s.done)
		if err := e.encode(&batch, s); err != nil || !s.wroteAll(raw) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(batch.Mutations)), "ns/row")
}
