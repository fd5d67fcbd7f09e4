//go:build waltap_crash

package crash

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	chosen string
	left   atomic.Int64 // passages until the end
)

func init() {
	name, n, counted := strings.Cut(os.Getenv("WALTAP_CRASH"), ":")
	if name == "" {
		return
	}
	passage := int64(1)
	var err error
	if counted {
		passage, err = strconv.ParseInt(n, 10, 64)
	}
	if err != nil || passage < 1 || !slices.Contains(slices.Concat(Points, SnapshotPoints), name) {
		fmt.Fprintf(os.Stderr, "WALTAP_CRASH=%s: want name or name:n, the names are %s\n", os.Getenv("WALTAP_CRASH"), strings.Join(slices.Concat(Points, SnapshotPoints), ", "))
		os.Exit(2)
	}
	chosen = name
	left.Store(passage)
}

// Point kills the process at the chosen passage. It does not return then: no other goroutine is to go on for long,
// and this one not at all.
func Point(name string) {
	if name != chosen || left.Add(-1) != 0 {
		return
	}
	fmt.Fprintln(os.Stderr, "WALTAP_CRASH: killed at", name)
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		fmt.Fprintln(os.Stderr, "WALTAP_CRASH:", err)
		os.Exit(3)
	}
	select {}
}
