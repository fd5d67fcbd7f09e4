// Package mutate writes cells to the rows of tables by ClientService, as a client of HBase does: to the server of each row's
// region, by Multi and Mutate. The cells have timestamps and tags of their own, and a batch attributes, such as the clusters
// that it has passed.
//
// What servers make of a Multi (RSRpcServices of HBase 1.4 to 3.0): each region's mutations are applied in their order, the
// regions one after the other; each mutation has an answer of its own, or its region has one for all of them. A WAL edit of
// several mutations takes the attribute ClusterIDs of the first: so the attributes are those of the batch.
package mutate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/regionscan"
)

// Codec is the codec that connections to servers must have been dialled with: without tags a TTL is lost.
const Codec = regionscan.Codec

// ClusterIDs is the attribute that lists the clusters a mutation has passed (HBase 0.96 and later): int32 n, then n times
// the most and the least significant 64 bits of an id. The server writes it to its WAL.
const ClusterIDs = "_cs.id"

// Cluster locates regions and hands out connections to servers; an *admin.Cluster.
type Cluster interface {
	Regions(ctx context.Context, table string) ([]admin.Region, error)
	Client(ctx context.Context, s admin.ServerName) (*rpc.Conn, error)
}

// Mutation is cells of one row, at least one: all of them puts, or all delete markers. They stay with the caller, in the form that
// it has them in, until the call that writes them has returned.
type Mutation interface {
	Row() []byte
	Len() int  // how many cells
	Put() bool // they are puts
	// Append appends the cells to dst, as Codec does.
	Append(dst []byte) []byte
}

// Cells is a Mutation of cells as they are.
type Cells []cell.Cell

// Row implements Mutation.
func (c Cells) Row() []byte { return c[0].Row }

// Len implements Mutation.
func (c Cells) Len() int { return len(c) }

// Put implements Mutation.
func (c Cells) Put() bool { return c[0].Type == cell.Put }

// Append implements Mutation.
func (c Cells) Append(dst []byte) []byte {
	for i := range c {
		dst = Codec.Append(dst, &c[i])
	}
	return dst
}

// Batch is what is written to one table.
type Batch struct {
	Table      string // "ns:table"
	Attributes map[string][]byte
	Mutations  []Mutation // those of one row in their order
	Bytes      int        // about what their cells take, if it is known
}

const (
	defaultCallTimeout = time.Minute
	// tries is how often what may heal is tried before it is the caller's matter; the pauses between are pauseMin and twice
	// as much each time, so 1.5 s in all. After patience it is the caller's matter, too: a cluster that is away is to be seen soon.
	tries    = 5
	pauseMin = 100 * time.Millisecond
	patience = 5 * time.Second
	// locateTimeout bounds a look at hbase:meta.
	locateTimeout = 5 * time.Second
)

// Writer writes to one cluster. It is safe for concurrent use.
type Writer struct {
	cluster Cluster
	timeout time.Duration // of one call
	pause   time.Duration
	tables  regionCache

	encodings sync.Pool // *encoding
	sorters   sync.Pool // *sorter
}

// New returns a Writer; a callTimeout of 0 is a minute.
func New(cluster Cluster, callTimeout time.Duration) *Writer {
	if callTimeout <= 0 {
		callTimeout = defaultCallTimeout
	}
	return &Writer{cluster: cluster, timeout: callTimeout, pause: pauseMin,
		encodings: sync.Pool{New: func() any { return new(encoding) }}, sorters: sync.Pool{New: func() any { return new(sorter) }}}
}

// Write writes b: nil says that all of it is in the servers' logs. After an error any part of it may be. What fails in a way
// that may heal, such as a region that has moved or is too busy, is repeated for a while: all mutations of its row, in their order,
// whichever of them failed. It puts b.Mutations into the order of their rows.
func (w *Writer) Write(ctx context.Context, b Batch) error {
	s := w.sorters.Get().(*sorter)
	s.sort(b.Mutations)
	w.sorters.Put(s)
	return w.persist(ctx, func() error {
		written, err := w.each(ctx, b.Table, len(b.Mutations), func(i int) []byte { return b.Mutations[i].Row() },
			func(ctx context.Context, s *share) error { return w.write(ctx, &b, s) })
		if err == nil {
			return nil
		}
		failed := make(map[string]bool)
		for i, m := range b.Mutations {
			if !written[i] {
				failed[string(m.Row())] = true
			}
		}
		var left []Mutation
		for _, m := range b.Mutations {
			if failed[string(m.Row())] {
				left = append(left, m)
			}
		}
		b.Mutations = left
		return err
	})
}

// persist calls f until it succeeds, fails for good, or has been tried often enough.
func (w *Writer) persist(ctx context.Context, f func() error) error {
	pause, begun := w.pause, time.Now()
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == tries || time.Since(begun) > patience || ctx.Err() != nil || !mayHeal(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		pause *= 2
	}
}

// share is what one server has of a list of items, and what comes of it.
type share struct {
	server  admin.ServerName
	regions []regionShare
	done    []bool // items that came through; shared with the shares of other servers
}

// regionShare is the items from to end, but for end itself.
type regionShare struct {
	region    *admin.Region
	from, end int
}

// items counts those of s.
func (s *share) items() (n int) {
	for _, r := range s.regions {
		n += r.end - r.from
	}
	return n
}

// each parts the items 0 to n-1 of a table, which are in the order of their rows, by the servers of their regions, and hands each share to
// do, side by side.
// It returns which items came through, all when the error is nil; the error is one of the others'.
func (w *Writer) each(ctx context.Context, table string, n int, row func(int) []byte, do func(context.Context, *share) error) ([]bool, error) {
	done := make([]bool, n)
	shares, located, err := w.shares(ctx, table, done, row)
	if err != nil {
		return done, err
	}
	errs := make([]error, len(shares))
	var g sync.WaitGroup
	for i, s := range shares {
		g.Go(func() { errs[i] = do(ctx, s) })
	}
	g.Wait()
	for i := range shares {
		if mustRelocate(errs[i]) {
			w.tables.forget(table, located)
		}
	}
	if err := worst(errs); err != nil {
		return done, err
	}
	if slices.Contains(done, false) {
		return done, fmt.Errorf("write to table %s: a part of it did not come through, and there is no error", table)
	}
	return done, nil
}

// worst picks what to tell of several errors: one that does not heal, else one that says where to look for the region.
func worst(errs []error) error {
	var found error
	for _, err := range errs {
		if err != nil && (found == nil || rank(err) > rank(found)) {
			found = err
		}
	}
	return found
}

func rank(err error) int {
	switch {
	case !mayHeal(err):
		return 2
	case mustRelocate(err):
		return 1
	}
	return 0
}

// mayHeal tells whether repeating may help.
func mayHeal(err error) bool {
	var remote *rpc.RemoteError
	if errors.As(err, &remote) {
		return !remote.DoNotRetry
	}
	return mustRelocate(err) || admin.IsRetriable(err)
}

// mustRelocate tells whether err says that a region is not where it was.
func mustRelocate(err error) bool {
	return errors.Is(err, errNotOpen) || errors.Is(err, admin.ErrUnreachable) || regionscan.Gone(err) || rpc.IsRemote(err, "TableNotFoundException")
}

// call makes one call to a server.
func (w *Writer) call(ctx context.Context, server admin.ServerName, f func(ctx context.Context, conn *rpc.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	conn, err := w.cluster.Client(ctx, server)
	if err != nil {
		return fmt.Errorf("connect to region server %s: %w", server, err)
	}
	if err := f(ctx, conn); err != nil {
		return fmt.Errorf("write to region server %s: %w", server, err)
	}
	return nil
}
