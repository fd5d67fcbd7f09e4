// Package replication is the source room that HBase ships its WAL to: a virtual cluster in
// ZooKeeper with one region server, ours, that answers AdminService.ReplicateWALEntry.
//
// The way of one call: regions of the call are locked, the cells are decoded as they arrive, grouped
// to one change per row and WAL edit, encoded and produced; HBase gets its answer when Kafka has acknowledged every
// record. Until then it keeps its WAL and after an error or a timeout it sends the call again.
package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/walentry"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// Service is the RPC service that a replication peer is asked for.
const Service = "AdminService"

const (
	ioException       = "java.io.IOException"
	unsupportedMethod = "java.lang.UnsupportedOperationException"
)

// scannedSlack is far more than clocks are apart.
const scannedSlack = 10 * time.Minute

// Table says how the changes of one captured table are marked.
type Table struct {
	Epoch int64
	// Since is the time from which on changes are of this epoch, ms; those that were written before are left out. 0: all are.
	Since int64
	// ReadPoint gives the sequence up to which the full scan has delivered row; changes at or below it
	// are left out. Nil when there was no scan.
	ReadPoint func(row []byte) uint64
	// Scanned is when that scan was complete, ms; 0: not known. What was written long after is not left out, whatever its sequence:
	// those of a region that was truncated begin anew.
	Scanned int64
	// Keeper tells what of a cell is to be captured. Nil: all.
	Keeper *schema.Keeper
	// Families are those that are captured; a call with a change of another one fails, and Config.NewFamily is told. Nil: all are.
	Families map[string]bool
	// Later are those that the scan has not delivered: ReadPoint does not hold for their cells.
	Later map[string]bool
}

// Stats is told what the receiver does; every method may be called from many goroutines.
type Stats interface {
	Call()                      // came in
	Answered()                  // a call: Kafka has all of it
	Replay(entries int)         // WAL edits that had been acknowledged before
	BelowReadPoint(changes int) // changes that the scan has delivered
	BeforeEpoch(changes int)    // changes from before Table.Since
	Marker(qualifier string)    // METAFAMILY cells that carry no data, and MarkerBulkLoad, also when it comes again
	Late(changes int)           // first deliveries with a write time at or below what Heartbeats.Late gave
	Error(err error)            // a call was answered with an exception
}

// Heartbeats are cells of waltap's own that pass through the source's WAL among the data; a *watermark.Watermark.
type Heartbeats interface {
	// Begin is called when a call comes in, Acknowledged when Kafka has all of it and before HBase is answered, with
	// what Begin has returned and the values of the heartbeats in the call.
	Begin() uint64
	Acknowledged(call uint64, values [][]byte)
	// Late is the write time, ms, up to which changes are late.
	Late() int64
}

// Config of a Receiver. All fields are required, but for Heartbeats.
type Config struct {
	Connector string
	Version   string
	ClusterID schema.UUID // of the source
	Table     func(name string) (Table, bool)
	Publisher *source.Publisher
	Stats     Stats
	// IsHeartbeat tells the tables whose cells are heartbeats, never data, whether Heartbeats is set or not: a queue may
	// hold some from before.
	IsHeartbeat func(table string) bool
	Heartbeats  Heartbeats
	// NewFamily is told that a call has failed because of a family that is not among Table.Families. It must not block. Nil: nobody
	// is told.
	NewFamily func()
	// BulkLoads reads the files of bulk loads. Nil: they cannot be read.
	BulkLoads BulkReader
}

// Receiver handles the calls of the source's region servers.
type Receiver struct {
	cfg   Config
	locks *regionLocks
	seqs  *sequences
}

// NewReceiver returns a Receiver; its Serve is the rpc handler of Service.
func NewReceiver(cfg Config) *Receiver {
	return &Receiver{cfg: cfg, locks: newRegionLocks(), seqs: &sequences{highest: make(map[string]uint64)}}
}

// Serve handles one call of AdminService.
func (r *Receiver) Serve(ctx context.Context, c *rpc.Call) {
	if c.Method != "ReplicateWALEntry" {
		c.Fail(unsupportedMethod, fmt.Sprintf("waltap is a replication peer: %s.%s is not served here", c.Service, c.Method), true)
		return
	}
	r.cfg.Stats.Call()
	// The answer must be out before the caller gives up: an answer that comes too late is a replay for nothing.
	ctx, cancel := context.WithDeadline(ctx, c.Deadline)
	r.replicate(ctx, c, func(err error) {
		cancel()
		if err == nil {
			crash.Point(crash.Unanswered)
			r.cfg.Stats.Answered()
			c.Reply(&pb.ReplicateWALEntryResponse{})
			return
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no acknowledgement by Kafka within %s: %w", time.Since(c.Received).Round(time.Millisecond), err)
		}
		r.cfg.Stats.Error(err)
		c.Fail(ioException, "waltap "+r.cfg.Connector+": "+err.Error(), false)
	})
}

// replicate reads the call to its end before it returns; answer is called once, maybe later.
func (r *Receiver) replicate(ctx context.Context, c *rpc.Call, answer func(error)) {
	regions, err := regionsOf(c.Param)
	if err != nil {
		answer(err)
		return
	}
	var place uint64
	if r.cfg.Heartbeats != nil {
		place = r.cfg.Heartbeats.Begin()
	}
	unlock, err := r.locks.lock(ctx, regions.names())
	if err != nil {
		answer(fmt.Errorf("wait for an earlier call on the same region: %w", err))
		return
	}
	r.seqs.load(regions)
	early := ackEarly
	if early {
		ctx = context.WithoutCancel(ctx)
		answer(nil)
		letOut()
	}
	batch := r.cfg.Publisher.Begin(ctx)
	d := decoder{Receiver: r, ctx: ctx, batch: batch, cells: cell.NewReader(c.Cells, c.Codec, c.CellBytes), regions: regions}
	err = d.entries(c.Param)
	heartbeats, late := d.heartbeats, d.late // d itself is large, and not kept until Kafka answers
	batch.Commit(err, func(err error) {
		if err == nil {
			r.seqs.acknowledge(regions)
			r.acknowledged(place, heartbeats, late)
		}
		unlock()
		if !early {
			answer(err)
		}
	})
}

// acknowledged tells what is known only once Kafka has all of a call.
func (r *Receiver) acknowledged(place uint64, heartbeats [][]byte, late int) {
	if len(heartbeats) > 0 {
		r.cfg.Heartbeats.Acknowledged(place, heartbeats)
	}
	if late > 0 {
		r.cfg.Stats.Late(late)
	}
}

// decoder turns the cells of one call into changes.
type decoder struct {
	*Receiver
	ctx     context.Context // of the call
	batch   *source.Batch
	cells   *cell.Reader
	regions *callRegions
	table   tableName // of the entry at hand
	origins []schema.UUID
	arena   []byte
	changes []schema.Change
	used    int
	rows    rowIndex // of changes

	heartbeats [][]byte // values
	late       int      // changes
}

// tableName is a table's name as HBase sends it, and its full name.
type tableName struct {
	wire []byte
	full string
}

func (d *decoder) entries(param []byte) error {
	entries := walentry.NewReader(param)
	replays := 0
	var e walentry.Entry
	for n := 1; ; n++ {
		ok, err := entries.Next(&e)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		region := d.regions.of(e.Region)
		replay := region.replayed(e.Sequence)
		if replay {
			replays++
		}
		if err := d.entry(&e, region.name, replay); err != nil {
			return fmt.Errorf("read WAL entry %d of a call (region %s, sequence %d): %w", n, e.Region, e.Sequence, err)
		}
	}
	if replays > 0 {
		d.cfg.Stats.Replay(replays)
	}
	var k cell.Cell
	if _, err := d.cells.Next(&k, nil); !errors.Is(err, io.EOF) {
		if err != nil {
			return fmt.Errorf("read the end of the cell block: %w", err)
		}
		return errors.New("read the end of the cell block: it holds more cells than the entries announce")
	}
	return nil
}

// tableOf returns the full name of e's table.
func (d *decoder) tableOf(e *walentry.Entry) string {
	if d.table.full == "" || !bytes.Equal(d.table.wire, e.Table) {
		d.table = tableName{e.Table, schema.NormalizeTable(string(e.Table))}
	}
	return d.table.full
}

// entry reads the cells of one WAL edit and adds one change per row, rows in the order of their first cell.
func (d *decoder) entry(e *walentry.Entry, region string, replay bool) error {
	table := d.tableOf(e)
	heartbeat := d.cfg.IsHeartbeat(table)
	info, captured := d.cfg.Table(table)
	src := schema.Source{
		Version: d.cfg.Version, Connector: d.cfg.Connector, ClusterID: d.cfg.ClusterID,
		Region: region, Kind: schema.KindWAL,
		Origins: d.originsOf(e), Epoch: info.Epoch,
	}
	d.arena, d.used = d.arena[:0], 0
	d.rows.reset()
	var k cell.Cell
	var known []byte // a family that is
	for n := e.Cells; n > 0; n-- {
		arena, err := d.cells.Next(&k, d.arena)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%d cells are missing: %w", n, err)
		}
		d.arena = arena
		if bytes.Equal(k.Family, metaFamily) {
			if err := d.marker(table, info, captured, &src, e, &k); err != nil {
				return err
			}
			continue
		}
		if heartbeat {
			if d.cfg.Heartbeats != nil {
				d.heartbeats = append(d.heartbeats, bytes.Clone(k.Value))
			}
			continue
		}
		if !captured {
			return fmt.Errorf("table %s: %w; the table list of the peer was changed by someone else: restore it or add the table to table.include.list", table, source.ErrUnknownTable)
		}
		kept := schema.Cell{Family: k.Family, Qualifier: k.Qualifier, Timestamp: k.Timestamp, Type: schema.CellType(k.Type), Value: k.Value, Tags: k.Tags}
		if info.Keeper != nil && !info.Keeper.Keep(k.Row, &kept) {
			continue
		}
		if !schema.CellType(k.Type).Valid() {
			if err := d.strange(table, e, &k); err != nil {
				return err
			}
			continue
		}
		if !bytes.Equal(k.Family, known) && info.Families != nil && int64(e.WriteTime) >= info.Since { // else it is left out by emit
			if !info.Families[string(k.Family)] {
				return d.newFamily(table, k.Family)
			}
			known = k.Family
		}
		c := d.change(k.Row)
		c.Cells = append(c.Cells, kept)
	}
	if d.used > 0 && !replay && d.cfg.Heartbeats != nil && int64(e.WriteTime) <= d.cfg.Heartbeats.Late() {
		d.late += d.used
	}
	return d.emit(table, info, &src, e)
}

func (d *decoder) newFamily(table string, family []byte) error {
	if d.cfg.NewFamily != nil {
		d.cfg.NewFamily()
	}
	return fmt.Errorf("table %s: family %s was added at the source: HBase sends its changes again when the table's new descriptor is on Kafka", table, family)
}

// only keeps the cells of some families.
func only(cells []schema.Cell, families map[string]bool) []schema.Cell {
	return slices.DeleteFunc(cells, func(c schema.Cell) bool { return !families[string(c.Family)] })
}

// change finds the change of row in the edit at hand, or opens one.
func (d *decoder) change(row []byte) *schema.Change {
	if d.used > 0 && bytes.Equal(d.changes[d.used-1].Row, row) {
		return &d.changes[d.used-1]
	}
	if i := d.rows.find(row, d.changes[:d.used]); i >= 0 {
		return &d.changes[i]
	}
	if d.used == len(d.changes) {
		d.changes = append(d.changes, schema.Change{})
	}
	c := &d.changes[d.used]
	c.Row, c.Cells = row, c.Cells[:0]
	d.used++
	return c
}

func (d *decoder) emit(table string, info Table, src *schema.Source, e *walentry.Entry) error {
	if int64(e.WriteTime) < info.Since {
		if d.used > 0 {
			d.cfg.Stats.BeforeEpoch(d.used)
		}
		return nil
	}
	below := 0
	delivered := d.delivered(info, e)
	for i := range d.changes[:d.used] {
		c := &d.changes[i]
		if delivered && e.Sequence <= info.ReadPoint(c.Row) {
			if c.Cells = only(c.Cells, info.Later); len(c.Cells) == 0 {
				below++
				continue
			}
		}
		c.Table, c.Source = table, *src
		c.Sequence, c.Timestamp = e.Sequence, int64(e.WriteTime)
		if err := d.batch.Add(c); err != nil {
			return err
		}
	}
	if below > 0 {
		d.cfg.Stats.BelowReadPoint(below)
	}
	return nil
}

// delivered tells whether the full scan may have delivered an edit: then its sequence decides.
func (d *decoder) delivered(info Table, e *walentry.Entry) bool {
	return info.ReadPoint != nil && (info.Scanned == 0 || int64(e.WriteTime) <= info.Scanned+scannedSlack.Milliseconds())
}

var (
	metaFamily        = []byte("METAFAMILY")
	bulkLoad          = []byte("HBASE::BULK_LOAD")
	replicationMarker = []byte("HBASE::REPLICATION_MARKER")
)

// MarkerBulkLoad is what Stats.Marker is told of a bulk load.
const MarkerBulkLoad = "bulk_load"

// marker handles a METAFAMILY cell.
func (d *decoder) marker(table string, info Table, captured bool, src *schema.Source, e *walentry.Entry, k *cell.Cell) error {
	if bytes.Equal(k.Qualifier, bulkLoad) {
		if !captured {
			return fmt.Errorf("table %s: %w; the table list of the peer was changed by someone else: restore it or add the table to table.include.list", table, source.ErrUnknownTable)
		}
		return d.bulkLoaded(table, info, src, e, k)
	}
	name := "other"
	if bytes.Equal(k.Qualifier, replicationMarker) {
		name = "replication_marker"
	}
	d.cfg.Stats.Marker(name)
	return nil
}

// strange handles a cell of a type that HBase does not store: no record can hold it.
func (d *decoder) strange(table string, e *walentry.Entry, k *cell.Cell) error {
	rec := kafka.Record{Key: bytes.Clone(k.Row), Value: cell.KeyValueCodecWithTags.Append(nil, k), Headers: source.EditHeaders("cell", table, e.Sequence, int64(e.WriteTime))}
	return d.batch.Undeliverable(table, rec, fmt.Errorf("table %s, row %q: a cell of type %d, which is none of HBase's; upgrade waltap, or put such cells aside with errors.tolerance: all", table, k.Row, byte(k.Type)))
}

// originsOf lists the clusters that a change has passed before the source, oldest first; until the next call. The source
// has put its own id last when it shipped the edit; that one stands in Source.ClusterID.
func (d *decoder) originsOf(e *walentry.Entry) []schema.UUID {
	d.origins = d.origins[:0]
	for _, id := range e.Clusters {
		if u := schema.UUID(id); u != d.cfg.ClusterID {
			d.origins = append(d.origins, u)
		}
	}
	return d.origins
}
