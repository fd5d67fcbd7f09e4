package regionscan

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

func TestDecodeCellsRefusesContradictions(t *testing.T) {
	k := cell.Cell{Row: []byte("r"), Family: []byte("f"), Type: cell.Put}
	one := Codec.Append(nil, &k)
	for _, tt := range []struct {
		name  string
		resp  *pb.ScanResponse
		block []byte
		err   string
	}{
		{"more cells than bytes", &pb.ScanResponse{CellsPerResult: []uint32{1, 4294967295}}, one, "4294967296 cells announced in a block of 26 bytes"},
		{"one cell too many", &pb.ScanResponse{CellsPerResult: []uint32{1}}, append(bytes.Clone(one), one...), "26 bytes are left after 1 cells"},
		{"cells announced, none there", &pb.ScanResponse{CellsPerResult: []uint32{1}}, nil, "1 cells announced in a block of 0 bytes"},
		{"cut", &pb.ScanResponse{CellsPerResult: []uint32{1}}, one[:len(one)-1], "cell 1 of 1"},
		{"results in the message", &pb.ScanResponse{Results: []*pb.Result{{}}}, nil, "ignored the cell codec"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeCells(nil, Codec, tt.resp, tt.block)
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want one with %q", err, tt.err)
			}
		})
	}
}

// TestRegionDoneOfOldServers has responses of servers that do not know more_results_in_region.
func TestRegionDoneOfOldServers(t *testing.T) {
	for name, tt := range map[string]struct {
		resp *pb.ScanResponse
		want bool
	}{
		"rows":         {&pb.ScanResponse{MoreResults: proto.Bool(true), CellsPerResult: []uint32{1}}, false},
		"no rows":      {&pb.ScanResponse{MoreResults: proto.Bool(true)}, true},
		"open":         {&pb.ScanResponse{MoreResults: proto.Bool(true), ScannerId: proto.Uint64(1)}, false},
		"no more rows": {&pb.ScanResponse{MoreResults: proto.Bool(false), CellsPerResult: []uint32{1}}, true},
	} {
		if got := regionDone(tt.resp); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func FuzzResponse(f *testing.F) {
	k := cell.Cell{Row: []byte("r"), Family: []byte("f"), Qualifier: []byte("q"), Type: cell.Put, Tags: []byte{0, 1, 8}}
	block := Codec.Append(nil, &k)
	for _, resp := range []*pb.ScanResponse{
		{CellsPerResult: []uint32{1}, PartialFlagPerResult: []bool{true}, MoreResults: proto.Bool(true)},
		{CellsPerResult: []uint32{0, 1}, MoreResultsInRegion: proto.Bool(false)},
		{HeartbeatMessage: proto.Bool(true)},
	} {
		msg, err := proto.Marshal(resp)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(msg, block)
	}
	f.Fuzz(func(t *testing.T, msg, block []byte) {
		var resp pb.ScanResponse
		if proto.Unmarshal(msg, &resp) != nil {
			return
		}
		lastPartial(&resp)
		regionDone(&resp)
		cells, err := decodeCells(nil, Codec, &resp, block)
		if err != nil {
			return
		}
		var again []byte
		for i := range cells {
			again = Codec.Append(again, &cells[i])
		}
		if len(again) > len(block) {
			t.Fatalf("%d cells of %d bytes from a block of %d", len(cells), len(again), len(block))
		}
	})
}
