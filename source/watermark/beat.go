package watermark

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// Beat is a heartbeat as it comes back. Its text stands in the cell's value, and behind the region's start key in its row.
type Beat struct {
	Run    string // of the process that sent it
	Server admin.ServerName
	Region string // encoded name
	N      uint64
	Sent   int64 // ms, our clock
}

// String is the form that ParseBeat reads.
func (b Beat) String() string {
	return fmt.Sprintf("%s %s %s %d %d", b.Server, b.Run, b.Region, b.N, b.Sent)
}

// ParseBeat reads what String has written; ok is false for anything else.
func ParseBeat(s string) (b Beat, ok bool) {
	f := strings.Split(s, " ")
	if len(f) != 5 {
		return Beat{}, false
	}
	var err error
	if b.Server, err = admin.ParseServerName(f[0]); err != nil {
		return Beat{}, false
	}
	b.Run, b.Region = f[1], f[2]
	if b.N, err = strconv.ParseUint(f[3], 10, 64); err != nil {
		return Beat{}, false
	}
	b.Sent, err = strconv.ParseInt(f[4], 10, 64)
	return b, err == nil
}
