package admin

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

var (
	ErrTableNotFound     = errors.New("table not found")
	ErrTableExists       = errors.New("table exists already")
	ErrNamespaceExists   = errors.New("namespace exists already")
	ErrNamespaceNotFound = errors.New("namespace not found")
	ErrPeerExists        = errors.New("replication peer exists already")
	ErrPeerNotFound      = errors.New("replication peer not found")
	ErrTableNotDisabled  = errors.New("table is not disabled")
	ErrTableNotEnabled   = errors.New("table is not enabled")
	ErrSnapshotExists    = errors.New("snapshot exists already")
	// ErrSnapshotFailed: a region moved, split or failed meanwhile, or another snapshot of the table is being made. Later it may succeed.
	ErrSnapshotFailed = errors.New("snapshot failed")
	// ErrUnreachable says that no connection to a server could be made.
	ErrUnreachable = errors.New("server unreachable")

	errClosed = errors.New("cluster connection is closed")
)

// remoteErrors maps the exceptions that a caller decides by to this package's errors. Peers have no exception class
// of their own in most versions: there the message decides.
var remoteErrors = []struct {
	class, message string
	err            error
}{
	{"TableNotFoundException", "", ErrTableNotFound},
	{"TableExistsException", "", ErrTableExists},
	{"TableNotDisabledException", "", ErrTableNotDisabled},
	{"TableNotEnabledException", "", ErrTableNotEnabled},
	{"SnapshotExistsException", "", ErrSnapshotExists},
	{"SnapshotCreationException", "", ErrSnapshotFailed},
	{"HBaseSnapshotException", "", ErrSnapshotFailed},
	{"CorruptedSnapshotException", "", ErrSnapshotFailed},
	{"NamespaceExistException", "", ErrNamespaceExists},
	{"NamespaceNotFoundException", "", ErrNamespaceNotFound},
	{"ReplicationPeerNotFoundException", "", ErrPeerNotFound},
	{"DoNotRetryIOException", "Replication peer * already exists", ErrPeerExists},
	{"DoNotRetryIOException", "Replication peer * does not exist", ErrPeerNotFound},
	{"ReplicationException", "peer * already exists", ErrPeerExists},
	{"ReplicationException", "peer * does not exist", ErrPeerNotFound},
}

// classify adds this package's error to a remote exception that stands for it.
func classify(err error) error {
	var remote *rpc.RemoteError
	if !errors.As(err, &remote) {
		return err
	}
	for _, r := range remoteErrors {
		if rpc.IsRemote(err, r.class) && matches(remote.Message, r.message) {
			return fmt.Errorf("%w (%w)", r.err, err)
		}
	}
	if remedy := remedyFor(err); remedy != "" {
		return fmt.Errorf("%w: %s", err, remedy)
	}
	return err
}

// remedyFor says what an operator can do about an exception.
func remedyFor(err error) string {
	switch {
	case rpc.IsRemote(err, "AccessDeniedException"):
		return "grant the user the ADMIN permission"
	case noSuchCall(err), rpc.IsRemote(err, "UnknownProtocolException"):
		return "this version of HBase has no such call; make the change in the HBase shell"
	case rpc.IsRemote(err, "NamespaceNotFoundException"):
		return "create the namespace first"
	}
	return ""
}

// matches reports whether s contains the parts of pattern, which are separated by '*', in order.
func matches(s, pattern string) bool {
	for part := range strings.SplitSeq(pattern, "*") {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// explain adds to an error about a znode under the root what is wrong with the configuration, as far as ZooKeeper
// can tell.
func (c *Cluster) explain(ctx context.Context, err error) error {
	if !errors.Is(err, zookeeper.ErrNoNode) {
		return fmt.Errorf("%w: check %s", err, c.cfg.Keys.Quorum)
	}
	quorum := strings.Join(c.zk.Servers(), ",")
	hint := fmt.Sprintf("no HBase under %s=%s of zookeeper %s", c.cfg.Keys.Root, c.cfg.Root, quorum)
	if roots := c.otherRoots(ctx); len(roots) > 0 {
		hint += "; there is one under " + strings.Join(roots, ", ")
	} else {
		hint += "; if the znode is right, check " + c.cfg.Keys.Quorum
	}
	return fmt.Errorf("%w: %s", err, hint)
}

// otherRoots looks for HBase's parent znode among the children of ZooKeeper's root.
func (c *Cluster) otherRoots(ctx context.Context) []string {
	names, err := c.zk.Children(ctx, "/")
	if err != nil {
		return nil
	}
	var roots []string
	for _, name := range names {
		root := path.Join("/", name)
		if root == c.cfg.Root {
			continue
		}
		if _, err := c.zk.Get(ctx, path.Join(root, "master")); err == nil {
			roots = append(roots, root)
		}
	}
	return roots
}
