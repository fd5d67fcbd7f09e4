package admin

import (
	"context"
	"errors"

	"github.com/waltap/waltap/internal/hbase/rpc"
)

// IsRetriable reports whether an error of a call to the cluster may heal by itself: a lost connection, a server
// that is away or busy, an answer that took too long. What the cluster refuses for good is not.
func IsRetriable(err error) bool {
	for _, final := range []error{ErrTableNotFound, ErrTableExists, ErrPeerExists, ErrPeerNotFound, ErrNamespaceNotFound, errClosed} {
		if errors.Is(err, final) {
			return false
		}
	}
	var remote *rpc.RemoteError
	if errors.As(err, &remote) {
		return !remote.DoNotRetry
	}
	var conn *rpc.ConnError
	return errors.As(err, &conn) || errors.Is(err, ErrUnreachable) || errors.Is(err, context.DeadlineExceeded)
}
