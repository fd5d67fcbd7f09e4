package regionscan

import (
	"fmt"
	"math"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
)

// minCellBytes is the size of the smallest cell in a cell block: lengths, row and family lengths, timestamp, type.
const minCellBytes = 24

// decodeCells reads the cells of a response into dst. cells_per_result says how many there are; the cell block must
// hold exactly those.
func decodeCells(dst []cell.Cell, codec cell.Codec, resp *pb.ScanResponse, block []byte) ([]cell.Cell, error) {
	if len(resp.GetResults()) > 0 {
		return dst, fmt.Errorf("decode scan response: %d results outside the cell block: the server ignored the cell codec",
			len(resp.GetResults()))
	}
	var want uint64
	for _, n := range resp.GetCellsPerResult() {
		want += uint64(n)
	}
	if want > math.MaxInt32 || want > uint64(len(block))/minCellBytes {
		return dst, fmt.Errorf("decode scan response: %d cells announced in a block of %d bytes", want, len(block))
	}
	offset := 0
	for i := range want {
		var k cell.Cell
		n, err := codec.Decode(block[offset:], &k)
		if err != nil {
			return dst, fmt.Errorf("decode scan response: cell %d of %d: %w", i+1, want, err)
		}
		dst = append(dst, k)
		offset += n
	}
	if offset != len(block) {
		return dst, fmt.Errorf("decode scan response: %d bytes are left after %d cells", len(block)-offset, want)
	}
	return dst, nil
}

// lastPartial reports whether more cells of the last result's row may follow in the next response.
func lastPartial(resp *pb.ScanResponse) bool {
	flags := resp.GetPartialFlagPerResult()
	return len(flags) > 0 && flags[len(flags)-1]
}

// regionDone reports whether the response is the region's last. Servers before 1.0 say nothing about the region:
// there an empty response is the end.
func regionDone(resp *pb.ScanResponse) bool {
	if resp.MoreResults != nil && !resp.GetMoreResults() {
		return true
	}
	if resp.MoreResultsInRegion != nil {
		return !resp.GetMoreResultsInRegion()
	}
	return resp.ScannerId == nil && len(resp.GetCellsPerResult()) == 0 && !resp.GetHeartbeatMessage()
}
