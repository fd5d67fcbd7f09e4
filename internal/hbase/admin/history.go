package admin

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/regionscan"
)

// What hbase:meta tells of the past. It keeps three versions of a cell (hbase.meta.versions; ten before 2.0), with the
// master's clock as their timestamps.
const (
	tableFamily     = "table"
	stateQualifier  = "state"
	regionFamily    = "info"
	openedQualifier = "seqnumDuringOpen"
)

// TableState is where a table is between enabled and disabled.
type TableState struct {
	Enabled bool
	// Since is when it came into this state, ms, by the master's clock.
	Since int64
	// Enabling is when it last began to be enabled, ms; 0 when hbase:meta no longer tells. No region of the table was open
	// just before.
	Enabling int64
}

// TableStates reads the states of all tables, by "ns:table", in one scan of hbase:meta that reads nothing else. It is nil
// before HBase 2.0, which keeps them elsewhere.
func (c *Cluster) TableStates(ctx context.Context) (map[string]TableState, error) {
	states := make(map[string]TableState)
	err := c.readMeta(ctx, nil, nil, &pb.Column{Family: []byte(tableFamily), Qualifier: [][]byte{[]byte(stateQualifier)}}, func(row []cell.Cell) (bool, error) {
		state, err := tableStateOf(row)
		states[fullName(string(row[0].Row))] = state
		return true, err
	})
	if rpc.IsRemote(err, "NoSuchColumnFamilyException") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the states of the tables: %w", err)
	}
	return states, nil
}

// tableStateOf reads the versions of a table's state, the newest first.
func tableStateOf(versions []cell.Cell) (s TableState, err error) {
	for i, k := range versions {
		var m pb.TableState
		if err := proto.Unmarshal(k.Value, &m); err != nil {
			return s, fmt.Errorf("parse table:state %x of %s: %w", k.Value, k.Row, err)
		}
		if i == 0 {
			s.Since, s.Enabled = k.Timestamp, m.GetState() == pb.TableState_ENABLED
		}
		if m.GetState() == pb.TableState_ENABLING && s.Enabling == 0 {
			s.Enabling = k.Timestamp
		}
	}
	return s, nil
}

// RegionHistory is a region and when it was opened, as far as hbase:meta tells.
type RegionHistory struct {
	Name    []byte
	Encoded string
	Created int64 // ms, by the clock of who made it
	Opens   []Opening
}

// Opening is one opening of a region.
type Opening struct {
	Time     int64 // ms
	Sequence int64 // the first one of its edits from then on; 1 or less: not known
}

// RegionHistories hands the regions of a table that were ever opened to each, in the order of their start keys, those that
// were split and not yet cleaned up included; the openings with the newest first. It begins behind the region with the name
// after, if that is given, and ends early when each returns false.
func (c *Cluster) RegionHistories(ctx context.Context, table string, after []byte, each func(RegionHistory) (more bool)) error {
	name := metaName(fullName(table))
	start, stop := []byte(name+",,"), []byte(name+"-") // see readRegions
	if after != nil {
		start = append(bytes.Clone(after), 0)
	}
	err := c.readMeta(ctx, start, stop, &pb.Column{Family: []byte(regionFamily), Qualifier: [][]byte{[]byte(openedQualifier)}}, func(row []cell.Cell) (bool, error) {
		r, err := regionHistoryOf(row)
		return err == nil && each(r), err
	})
	if err != nil {
		return fmt.Errorf("read the history of the regions of %s: %w", fullName(table), err)
	}
	return nil
}

func regionHistoryOf(versions []cell.Cell) (r RegionHistory, err error) {
	r.Name = versions[0].Row
	id, err := regionID(r.Name)
	if err == nil && id > math.MaxInt64 {
		err = fmt.Errorf("parse region name %q: id: it is too large", r.Name)
	}
	if err != nil {
		return r, err
	}
	r.Created = int64(id)
	for _, k := range versions {
		if len(k.Value) != 8 {
			return r, fmt.Errorf("parse info:seqnumDuringOpen %x of region %q: it has not 8 bytes", k.Value, r.Name)
		}
		r.Opens = append(r.Opens, Opening{k.Timestamp, int64(binary.BigEndian.Uint64(k.Value))})
	}
	r.Encoded, err = encodedRegionName(r.Name)
	return r, err
}

// readMeta hands all versions of a column of hbase:meta, row by row, to each until that returns false, going on where it was
// when the region of hbase:meta moves.
func (c *Cluster) readMeta(ctx context.Context, start, stop []byte, column *pb.Column, each func(row []cell.Cell) (more bool, err error)) error {
	ctx, cancel := withDefaultTimeout(ctx, 2*callTimeout)
	defer cancel()
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		rows := wholeRows{each: each}
		err := c.scanMetaRegion(ctx, &pb.Scan{
			Column:        []*pb.Column{column},
			StartRow:      start,
			StopRow:       stop,
			MaxVersions:   proto.Uint32(math.MaxInt32),
			MaxResultSize: proto.Uint64(metaResultSize),
		}, rows.add)
		if err == nil {
			err = rows.flush()
		}
		if err == nil || errors.Is(err, errEnough) {
			return nil
		}
		if rows.done != nil {
			start = append(rows.done, 0) // the row after it
		}
		if !regionscan.Gone(err) && !regionscan.Reset(err) && !errors.Is(err, ErrUnreachable) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

// errEnough ends a scan of hbase:meta early.
var errEnough = errors.New("enough was read")

// wholeRows puts cells together to rows, so that a scan that is interrupted can go on behind the last one. The cells are
// copied: a row may span responses.
type wholeRows struct {
	each  func(row []cell.Cell) (more bool, err error)
	cells []cell.Cell
	done  []byte // the last row handed out
}

func (w *wholeRows) add(k *cell.Cell) error {
	if len(w.cells) > 0 && !bytes.Equal(k.Row, w.cells[0].Row) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.cells = append(w.cells, cell.Cell{Row: bytes.Clone(k.Row), Timestamp: k.Timestamp, Value: bytes.Clone(k.Value)})
	return nil
}

func (w *wholeRows) flush() error {
	if len(w.cells) == 0 {
		return nil
	}
	row := w.cells
	w.cells = nil
	more, err := w.each(row)
	if err == nil && !more {
		err = errEnough
	}
	if err != nil {
		return fmt.Errorf("row %q of hbase:meta: %w", row[0].Row, err)
	}
	w.done = row[0].Row
	return nil
}
