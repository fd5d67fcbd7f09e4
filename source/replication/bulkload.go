package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/walentry"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// BulkLoad is what a marker in the WAL says of files that were loaded into a region.
type BulkLoad struct {
	Table  string // "ns:t"
	Region string // encoded name
	Files  []BulkFile
}

// BulkFile is a file of a BulkLoad.
type BulkFile struct{ Family, Name string }

// BulkReader hands the cells of a load to each, in HBase's order, every one valid until each returns.
type BulkReader func(ctx context.Context, l BulkLoad, each func(*cell.Cell) error) error

// bulkLoaded handles the marker of a bulk load, whose cells no WAL holds. They are delivered in its place, before HBase is answered. What
// cannot be read would be lost with an answer: then the call fails and HBase keeps its WAL and, for its sake, the files; or
// the marker becomes a dead letter.
func (d *decoder) bulkLoaded(table string, info Table, src *schema.Source, e *walentry.Entry, k *cell.Cell) error {
	undeliverable := func(err error) error {
		d.cfg.Stats.Marker(MarkerBulkLoad)
		rec := kafka.Record{Key: bytes.Clone(k.Row), Value: bytes.Clone(k.Value), Headers: source.EditHeaders("bulk-load", table, e.Sequence, int64(e.WriteTime))}
		return d.batch.Undeliverable(table, rec, err)
	}
	if d.cfg.BulkLoads == nil {
		return undeliverable(fmt.Errorf("the source bulk-loaded HFiles into table %s, which this connector cannot read; "+
			"set hbase.rootdir, so that it can (docs/snapshot-files.md), or hbase.replication.bulkload.enabled=false on the source for this table, or drop the peer and copy the table again, or put such announcements aside with errors.tolerance: all", table))
	}
	load, sequence, replicate, err := parseBulkLoad(k.Value)
	if err != nil {
		return undeliverable(fmt.Errorf("table %s: read the announcement of a bulk load: %w", table, err))
	}
	if load.Table != table {
		return undeliverable(fmt.Errorf("table %s: the announcement of a bulk load is of table %s", table, load.Table))
	}
	if !replicate || int64(e.WriteTime) < info.Since { // as for any edit of an earlier life
		d.cfg.Stats.Marker(markerBulkLoadSkipped)
		return nil
	}
	for _, f := range load.Files {
		if info.Families != nil && !info.Families[f.Family] {
			return d.newFamily(table, []byte(f.Family))
		}
	}
	b := bulk{decoder: d, info: info, entry: e, change: schema.Change{Table: table, Source: *src, Sequence: sequence, Timestamp: int64(e.WriteTime)}}
	err = d.cfg.BulkLoads(d.ctx, load, b.cell)
	if err == nil {
		err = b.flush()
	}
	switch {
	case err == nil:
		d.cfg.Stats.Marker(markerBulkLoadRead)
		if b.below > 0 {
			d.cfg.Stats.BelowReadPoint(b.below)
		}
		return nil
	case b.failed != nil:
		return b.failed
	case d.ctx.Err() != nil:
		return fmt.Errorf("table %s: the files of a bulk load into region %s could not be read and delivered within the time that the source gives a call; it sends the call again: %w", table, load.Region, d.ctx.Err())
	case errors.Is(err, filesystem.ErrUnavailable):
		return fmt.Errorf("table %s: read the files of a bulk load: %w", table, err)
	}
	return undeliverable(fmt.Errorf("table %s: read the files of a bulk load: %w; mend what keeps them from being read, or drop the peer and copy the table again, or put such announcements aside with errors.tolerance: all", table, err))
}

// What Stats.Marker is told of bulk loads beside MarkerBulkLoad.
const (
	markerBulkLoadRead    = "bulk_load_read"
	markerBulkLoadSkipped = "bulk_load_skipped"
)

// parseBulkLoad decodes a BulkLoadDescriptor. sequence is that of the cells; 0: they are older than all others, as those of the full scan.
func parseBulkLoad(b []byte) (l BulkLoad, sequence uint64, replicate bool, err error) {
	var m pb.BulkLoadDescriptor
	if err := proto.Unmarshal(b, &m); err != nil {
		return l, 0, false, err
	}
	t := m.GetTableName()
	l.Table, l.Region = schema.NormalizeTable(string(t.GetNamespace())+":"+string(t.GetQualifier())), string(m.GetEncodedRegionName())
	for _, s := range m.GetStores() {
		for _, name := range s.GetStoreFile() {
			l.Files = append(l.Files, BulkFile{Family: string(s.GetFamilyName()), Name: name})
		}
	}
	return l, uint64(max(0, m.GetBulkloadSeqNum())), m.GetReplicate(), nil
}

// bulk makes changes of the cells of a load: one for each row, in parts where it is large.
type bulk struct {
	*decoder
	info   Table
	entry  *walentry.Entry
	change schema.Change
	arena  []byte
	bytes  int
	below  int
	failed error // of the batch, not of the files
}

// bulkRecordBytes is from when on a row goes into several records.
const bulkRecordBytes = 512 << 10

// cell takes a cell over.
func (b *bulk) cell(k *cell.Cell) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if b.change.Row != nil && (!bytes.Equal(b.change.Row, k.Row) || b.bytes >= bulkRecordBytes) {
		if err := b.flush(); err != nil {
			return err
		}
	}
	if b.change.Row == nil {
		b.change.Row = b.keep(k.Row)
	}
	c := schema.Cell{Family: b.keep(k.Family), Qualifier: b.keep(k.Qualifier), Timestamp: k.Timestamp, Type: schema.CellType(k.Type), Value: b.keep(k.Value), Tags: b.keep(k.Tags)}
	if b.info.Keeper != nil && !b.info.Keeper.Keep(b.change.Row, &c) {
		return nil
	}
	if !c.Type.Valid() {
		return fmt.Errorf("row %q: a cell of type %d, which is none of HBase's", k.Row, byte(k.Type))
	}
	b.change.Cells = append(b.change.Cells, c)
	return nil
}

func (b *bulk) keep(s []byte) []byte {
	n := len(b.arena)
	b.arena = append(b.arena, s...)
	b.bytes += len(s)
	return b.arena[n:len(b.arena):len(b.arena)]
}

// flush adds the row at hand, unless the full scan has delivered it. By the marker's sequence: the load is committed when it is written.
func (b *bulk) flush() error {
	c := &b.change
	delivered := b.delivered(b.info, b.entry)
	switch {
	case c.Row == nil || len(c.Cells) == 0:
	case delivered && b.entry.Sequence <= b.info.ReadPoint(c.Row):
		if c.Cells = only(c.Cells, b.info.Later); len(c.Cells) == 0 {
			b.below++
			break
		}
		fallthrough
	default:
		if b.failed = b.batch.Add(c); b.failed != nil {
			return b.failed
		}
	}
	c.Row, c.Cells, b.arena, b.bytes = nil, c.Cells[:0], b.arena[:0], 0
	return nil
}
