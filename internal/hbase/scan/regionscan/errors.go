package regionscan

import (
	"errors"
	"slices"

	"github.com/waltap/waltap/internal/hbase/rpc"
)

// goneClasses are the exceptions by which a server says that it does not serve the region, now or any more.
var goneClasses = []string{
	"NotServingRegionException", // moved, split, merged, table disabled
	"RegionMovedException",
	"RegionOpeningException",
	"RegionServerStoppedException",
	"RegionServerAbortedException",
	"ServerNotRunningYetException",
	"RegionInRecoveryException",
	"FailedServerException",
	"WrongRegionException",
}

// resetClasses are the exceptions by which a server says that it lost the scanner but not the region.
var resetClasses = []string{
	"UnknownScannerException", // the lease ran out
	"LeaseException",
	"OutOfOrderScannerNextException",
	"ScannerResetException",
}

// Gone reports whether err means that the region must be located again: the server does not serve it or cannot be
// reached.
func Gone(err error) bool {
	var broken *rpc.ConnError
	return remoteOf(err, goneClasses) || errors.As(err, &broken)
}

// Reset reports whether err means that only the scanner is lost: the scan can be opened again where it was.
func Reset(err error) bool { return remoteOf(err, resetClasses) }

func remoteOf(err error, classes []string) bool {
	return slices.ContainsFunc(classes, func(class string) bool { return rpc.IsRemote(err, class) })
}
