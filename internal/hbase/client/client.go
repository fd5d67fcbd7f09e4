// Package client writes rows to HBase through gohbase: what tests, the demo and the heartbeat need. Every call has a
// deadline, for gohbase retries for ever. Cells carry one timestamp per call, and no tags but a TTL; the sink, which
// needs more, speaks to region servers by itself.
package client

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/tsuna/gohbase"
	"github.com/tsuna/gohbase/hrpc"
	"github.com/tsuna/gohbase/pb"

	"github.com/waltap/waltap/internal/hbase/cell"
)

const (
	defaultTimeout = 30 * time.Second
	// scanRows and scanBytes bound a response of Scan.
	scanRows  = 5000
	scanBytes = 4 << 20
)

// Config says where the cluster is.
type Config struct {
	Quorum []string // "host:port" of its ZooKeeper
	Root   string   // parent znode; default /hbase
	User   string   // default "waltap"
	// Timeout bounds a call whose context has no deadline; default 30s.
	Timeout time.Duration
	Logger  *slog.Logger // default: discard
}

// Values are the columns of one row: family to qualifier to value.
type Values map[string]map[string][]byte

// Client writes to one cluster. It is safe for concurrent use; calls made at the same time travel together.
type Client struct {
	hbase   gohbase.Client
	timeout time.Duration
}

// New returns a client. It connects with the first call.
func New(cfg Config) *Client {
	if cfg.Root == "" {
		cfg.Root = "/hbase"
	}
	if cfg.User == "" {
		cfg.User = "waltap"
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	dialer := new(net.Dialer)
	return &Client{
		hbase: gohbase.NewClient(strings.Join(cfg.Quorum, ","),
			gohbase.ZookeeperRoot(cfg.Root),
			gohbase.EffectiveUser(cfg.User),
			gohbase.RegionLookupTimeout(cfg.Timeout),
			gohbase.RegionReadTimeout(cfg.Timeout),
			gohbase.RegionDialer(dialer.DialContext),
			gohbase.Logger(cfg.Logger)),
		timeout: cfg.Timeout,
	}
}

// Close closes all connections.
func (c *Client) Close() { c.hbase.Close() }

// An Option changes a write.
type Option func(*write)

type write struct {
	options []func(hrpc.Call) error
}

// Timestamp gives all cells of the write this timestamp, in ms; without it the server gives its time.
func Timestamp(ms int64) Option {
	return func(w *write) { w.options = append(w.options, hrpc.TimestampUint64(uint64(ms))) }
}

// TTL lets the cells of a Put expire that long after their timestamp (a tag of the cell).
func TTL(d time.Duration) Option {
	return func(w *write) { w.options = append(w.options, hrpc.TTL(d)) }
}

func hrpcOptions(opts []Option) []func(hrpc.Call) error {
	var w write
	for _, o := range opts {
		o(&w)
	}
	return w.options
}

// Put writes cells of one row.
func (c *Client) Put(ctx context.Context, table, row string, values Values, opts ...Option) error {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	put, err := hrpc.NewPut(ctx, []byte(table), []byte(row), values, hrpcOptions(opts)...)
	if err == nil {
		_, err = c.hbase.Put(put)
	}
	return wrap("put", table, row, err)
}

// DeleteRow writes a DeleteFamily marker for every family.
func (c *Client) DeleteRow(ctx context.Context, table, row string, opts ...Option) error {
	return c.delete(ctx, "delete row", table, row, nil, opts)
}

// DeleteFamily deletes all versions of all columns of a family up to the timestamp (DeleteFamily).
func (c *Client) DeleteFamily(ctx context.Context, table, row, family string, opts ...Option) error {
	return c.delete(ctx, "delete family", table, row, Values{family: nil}, opts)
}

// DeleteFamilyVersion deletes the versions of a family's columns that have exactly this timestamp
// (DeleteFamilyVersion).
func (c *Client) DeleteFamilyVersion(ctx context.Context, table, row, family string, ms int64) error {
	return c.delete(ctx, "delete family version", table, row, Values{family: nil}, []Option{Timestamp(ms), oneVersion})
}

// DeleteColumn deletes all versions of a column up to the timestamp (DeleteColumn).
func (c *Client) DeleteColumn(ctx context.Context, table, row, family, qualifier string, opts ...Option) error {
	return c.delete(ctx, "delete column", table, row, Values{family: {qualifier: nil}}, opts)
}

// DeleteVersion deletes one version of a column (Delete): the one at the option's timestamp, else the newest.
func (c *Client) DeleteVersion(ctx context.Context, table, row, family, qualifier string, opts ...Option) error {
	return c.delete(ctx, "delete version", table, row, Values{family: {qualifier: nil}}, append(opts[:len(opts):len(opts)], oneVersion))
}

func oneVersion(w *write) { w.options = append(w.options, hrpc.DeleteOneVersion()) }

func (c *Client) delete(ctx context.Context, verb, table, row string, values Values, opts []Option) error {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	del, err := hrpc.NewDel(ctx, []byte(table), []byte(row), values, hrpcOptions(opts)...)
	if err == nil {
		_, err = c.hbase.Delete(del)
	}
	return wrap(verb, table, row, err)
}

// Increment adds to a counter, an 8-byte big-endian value, and returns the result.
func (c *Client) Increment(ctx context.Context, table, row, family, qualifier string, by int64) (int64, error) {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	inc, err := hrpc.NewIncSingle(ctx, []byte(table), []byte(row), family, qualifier, by)
	if err != nil {
		return 0, wrap("increment", table, row, err)
	}
	n, err := c.hbase.Increment(inc)
	return n, wrap("increment", table, row, err)
}

// Append appends to the newest values of a row's columns.
func (c *Client) Append(ctx context.Context, table, row string, values Values) error {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	app, err := hrpc.NewApp(ctx, []byte(table), []byte(row), values)
	if err == nil {
		_, err = c.hbase.Append(app)
	}
	return wrap("append", table, row, err)
}

// Get returns the newest version of every column of a row, none when there is no such row.
func (c *Client) Get(ctx context.Context, table, row string) ([]cell.Cell, error) {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	get, err := hrpc.NewGet(ctx, []byte(table), []byte(row))
	if err != nil {
		return nil, wrap("get", table, row, err)
	}
	result, err := c.hbase.Get(get)
	if err != nil {
		return nil, wrap("get", table, row, err)
	}
	return appendCells(nil, result), nil
}

// Scan hands the newest version of every column of the rows from start (inclusive) to stop (exclusive) to each, row
// by row. It is a reader's view: no delete markers, no tags. Empty bounds are the table's.
func (c *Client) Scan(ctx context.Context, table, start, stop string, each func(row []cell.Cell) error) error {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	s, err := hrpc.NewScanRange(ctx, []byte(table), []byte(start), []byte(stop),
		hrpc.NumberOfRows(scanRows), hrpc.MaxResultSize(scanBytes), hrpc.CacheBlocks(false))
	if err != nil {
		return wrap("scan", table, start, err)
	}
	scanner := c.hbase.Scan(s)
	defer scanner.Close()
	for {
		result, err := scanner.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return wrap("scan", table, start, err)
		}
		if err := each(appendCells(nil, result)); err != nil {
			return err
		}
	}
}

func appendCells(dst []cell.Cell, result *hrpc.Result) []cell.Cell {
	for _, c := range result.Cells {
		k := (*pb.Cell)(c)
		dst = append(dst, cell.Cell{
			Row:       k.Row,
			Family:    k.Family,
			Qualifier: k.Qualifier,
			Timestamp: int64(k.GetTimestamp()),
			Type:      cell.Type(k.GetCellType()),
			Value:     k.Value,
			Tags:      k.Tags,
		})
	}
	return dst
}

func (c *Client) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.timeout)
}

func wrap(verb, table, row string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s %q: %w", verb, table, row, err)
}
