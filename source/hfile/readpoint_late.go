//go:build waltap_crash

package hfile

import (
	"os"
	"strconv"
)

var readPointLate = func() uint64 {
	n, err := strconv.ParseUint(os.Getenv("WALTAP_READPOINT_LATE"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}()
