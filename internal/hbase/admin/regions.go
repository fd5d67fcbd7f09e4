package admin

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/scan/regionscan"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

const (
	// hbase:meta has one region, whose names are fixed.
	metaRegionName    = "hbase:meta,,1"
	metaRegionEncoded = "1588230740"
	// metaResultSize bounds a response of a scan of hbase:meta, in bytes.
	metaResultSize = 1 << 20
)

// Region is a region of a table: the rows from Start (inclusive) to End (exclusive). An empty Start is the table's
// begin, an empty End its end.
type Region struct {
	Table string // "ns:table"
	// Name is the full region name; Encoded the hash in it, by which WAL keys name the region.
	Name       []byte
	Encoded    string
	Start, End []byte
	// Server is where hbase:meta has the region; zero when it was never opened.
	Server ServerName
	// Offline is set while the region is not open: the table is disabled or the region in transition.
	Offline bool
	// Split is set for a region that was split or merged away, which Regions leaves out.
	Split bool
}

// Regions returns the regions of a table in the order of their start keys, without replicas and without those that
// were split or merged away. They cover all rows: while hbase:meta shows a hole or an overlap, as it may in the middle
// of a split, it is read again. ErrTableNotFound.
func (c *Cluster) Regions(ctx context.Context, table string) ([]Region, error) {
	ctx, cancel := withDefaultTimeout(ctx, 2*callTimeout)
	defer cancel()
	table = fullName(table)
	if table == metaTable {
		server, err := c.metaServer(ctx)
		if err != nil {
			return nil, fmt.Errorf("locate regions of %s: %w", table, err)
		}
		return []Region{{Table: metaTable, Name: []byte(metaRegionName), Encoded: metaRegionEncoded, Server: server}}, nil
	}
	var hole error
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		regions, err := c.readRegions(ctx, table)
		if err != nil {
			return nil, fmt.Errorf("locate regions of %s: %w", table, errors.Join(err, hole))
		}
		if len(regions) == 0 {
			return nil, fmt.Errorf("locate regions of %s: %w", table, ErrTableNotFound)
		}
		if hole = checkCover(regions); hole == nil {
			return regions, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("locate regions of %s: %w: if it stays so, hbase:meta needs repair (hbck2): %w",
				table, hole, ctx.Err())
		}
	}
}

// checkCover reports a hole or an overlap in regions sorted by start key.
func checkCover(regions []Region) error {
	var end []byte
	for i, r := range regions {
		if i > 0 && len(end) == 0 || !bytes.Equal(r.Start, end) {
			return fmt.Errorf("region %s begins at %q, the one before it ends at %q", r.Encoded, r.Start, end)
		}
		end = r.End
	}
	if len(end) != 0 {
		return fmt.Errorf("no region begins at %q", end)
	}
	return nil
}

// readRegions reads a table's rows of hbase:meta, going on where it was when the region of hbase:meta moves.
func (c *Cluster) readRegions(ctx context.Context, table string) ([]Region, error) {
	name := metaName(table)
	// A region's row is "<table>,<start key>,<id>.<hash>."; '-' is the byte after ','.
	start, stop := []byte(name+",,"), []byte(name+"-")
	var regions []Region
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		last, err := c.scanMeta(ctx, start, stop, func(row *metaRow) error {
			r, skip, err := row.region()
			if err == nil && !skip && r.Table == table {
				regions = append(regions, r)
			}
			return err
		})
		if err == nil {
			return regions, nil
		}
		if last != nil {
			start = append(last, 0) // the row after it
		}
		if !regionscan.Gone(err) && !regionscan.Reset(err) && !errors.Is(err, ErrUnreachable) {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

// scanMeta hands the rows of hbase:meta between start and stop to each, and returns the last complete one.
func (c *Cluster) scanMeta(ctx context.Context, start, stop []byte, each func(*metaRow) error) (last []byte, err error) {
	rows := metaRows{each: each}
	err = c.scanMetaRegion(ctx, &pb.Scan{
		Column: []*pb.Column{{Family: []byte("info"), Qualifier: [][]byte{
			[]byte("regioninfo"), []byte("server"), []byte("serverstartcode"), []byte("state"),
		}}},
		StartRow:      start,
		StopRow:       stop,
		MaxVersions:   proto.Uint32(1),
		MaxResultSize: proto.Uint64(metaResultSize),
	}, rows.add)
	if err == nil {
		err = rows.flush()
	}
	return rows.done, err
}

// scanMetaRegion hands the cells of a scan of hbase:meta to add, whose error ends it.
func (c *Cluster) scanMetaRegion(ctx context.Context, scan *pb.Scan, add func(*cell.Cell) error) (err error) {
	server, err := c.metaServer(ctx)
	if err != nil {
		return err
	}
	conn, err := c.Client(ctx, server)
	if err != nil {
		return err
	}
	s, err := regionscan.Open(ctx, conn, regionscan.Spec{Region: []byte(metaRegionName), Scan: scan})
	if err != nil {
		return fmt.Errorf("scan hbase:meta on %s: %w", server, err)
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	for {
		cells, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("scan hbase:meta on %s: %w", server, err)
		}
		for i := range cells {
			if err := add(&cells[i]); err != nil {
				return err
			}
		}
	}
}

// metaServer locates hbase:meta.
func (c *Cluster) metaServer(ctx context.Context) (ServerName, error) {
	znode := c.znode("meta-region-server")
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		payload, err := c.zk.Get(ctx, znode)
		if err != nil && !errors.Is(err, zookeeper.ErrNoNode) {
			return ServerName{}, fmt.Errorf("locate hbase:meta: %w", err)
		}
		if err == nil {
			name, state, perr := zookeeper.ParseMetaServer(payload)
			if perr != nil {
				return ServerName{}, fmt.Errorf("locate hbase:meta: %s: %w", znode, perr)
			}
			if state == pb.RegionState_OPEN {
				return serverNameOf(name), nil
			}
			err = fmt.Errorf("%s: hbase:meta is %s on %s", znode, state, name.GetHostName())
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ServerName{}, fmt.Errorf("locate hbase:meta: %w: check that the cluster runs, and %s: %w",
				err, c.cfg.Keys.Root, ctx.Err())
		}
	}
}

// metaRow is a row of hbase:meta, the columns of its family info.
type metaRow struct {
	row, regionInfo, server, startCode, state []byte
}

// metaRows puts cells together to rows. The cells are copied: a row may span responses.
type metaRows struct {
	each func(*metaRow) error
	row  metaRow
	done []byte // the last row handed out
}

func (m *metaRows) add(k *cell.Cell) error {
	if !bytes.Equal(k.Row, m.row.row) {
		if err := m.flush(); err != nil {
			return err
		}
		m.row = metaRow{row: bytes.Clone(k.Row)}
	}
	switch string(k.Qualifier) {
	case "regioninfo":
		m.row.regionInfo = bytes.Clone(k.Value)
	case "server":
		m.row.server = bytes.Clone(k.Value)
	case "serverstartcode":
		m.row.startCode = bytes.Clone(k.Value)
	case "state":
		m.row.state = bytes.Clone(k.Value)
	}
	return nil
}

func (m *metaRows) flush() error {
	if m.row.row == nil {
		return nil
	}
	row := m.row
	m.row = metaRow{}
	if err := m.each(&row); err != nil {
		return fmt.Errorf("row %q of hbase:meta: %w", row.row, err)
	}
	m.done = row.row
	return nil
}

// region decodes a row. skip is set for what is no region of a table any more, or a replica.
func (m *metaRow) region() (r Region, skip bool, err error) {
	if len(m.regionInfo) == 0 { // left behind by the deletion of a region
		return Region{}, true, nil
	}
	var info pb.RegionInfo
	if err := zookeeper.UnmarshalPayload(m.regionInfo, &info); err != nil {
		return Region{}, false, err
	}
	encoded, err := encodedRegionName(m.row)
	if err != nil {
		return Region{}, false, err
	}
	r = Region{
		Table:   tableNameOf(info.GetTableName()),
		Name:    m.row,
		Encoded: encoded,
		Start:   info.GetStartKey(),
		End:     info.GetEndKey(),
	}
	if r.Server, err = m.serverName(); err != nil {
		return Region{}, false, err
	}
	state := string(m.state)
	r.Split = info.GetSplit() || state == "SPLIT" || state == "MERGED"
	// Before 2.0 there is no state; the server column is empty while the region is not open.
	r.Offline = info.GetOffline() || r.Server.IsZero() || (state != "" && state != "OPEN")
	return r, r.Split || info.GetOffline() || info.GetReplicaId() != 0, nil
}

func (m *metaRow) serverName() (ServerName, error) {
	if len(m.server) == 0 {
		return ServerName{}, nil
	}
	host, port, err := net.SplitHostPort(string(m.server))
	if err != nil {
		return ServerName{}, fmt.Errorf("parse info:server %q: %w", m.server, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ServerName{}, fmt.Errorf("parse info:server %q: %w", m.server, err)
	}
	s := ServerName{Host: strings.ToLower(host), Port: int(n)}
	if len(m.startCode) == 8 {
		code := binary.BigEndian.Uint64(m.startCode)
		if code > math.MaxInt64 {
			return ServerName{}, fmt.Errorf("parse info:serverstartcode %x: it is negative", m.startCode)
		}
		s.StartCode = int64(code)
	}
	return s, nil
}

// MoveRegion asks the master to move a region, to any server when to is zero, and returns when the master has taken
// the order; the region may still be on its way.
func (c *Cluster) MoveRegion(ctx context.Context, encoded string, to ServerName) error {
	req := &pb.MoveRegionRequest{Region: &pb.RegionSpecifier{
		Type:  pb.RegionSpecifier_ENCODED_REGION_NAME.Enum(),
		Value: []byte(encoded),
	}}
	if !to.IsZero() {
		req.DestServerName = to.toProto()
	}
	call := masterCall{method: "MoveRegion", req: req, resp: &pb.MoveRegionResponse{}, repeatable: true}
	if err := c.callMaster(ctx, call); err != nil {
		return fmt.Errorf("move region %s: %w", encoded, err)
	}
	return nil
}

// SplitRegion splits a region at a row and waits until its halves are open. Before 2.0 its region server is asked, which answers
// before it is done: SplitRegion then waits until hbase:meta shows no such region any more.
func (c *Cluster) SplitRegion(ctx context.Context, r Region, at []byte) error {
	id, err := regionID(r.Name)
	if err != nil {
		return fmt.Errorf("split region %s: %w", r.Encoded, err)
	}
	req := &pb.SplitTableRegionRequest{
		RegionInfo: &pb.RegionInfo{
			RegionId:  &id,
			TableName: tableNameProto(r.Table),
			StartKey:  r.Start,
			EndKey:    r.End,
			Offline:   proto.Bool(false),
			Split:     proto.Bool(false),
			ReplicaId: proto.Int32(0),
		},
		SplitRow: at,
	}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.SplitTableRegionResponse
	call := masterCall{method: "SplitRegion", req: req, resp: &resp, repeatable: true}
	err = c.procedureCall(ctx, call, func() *uint64 { return resp.ProcId })
	if noSuchCall(err) {
		err = c.splitOldRegion(ctx, r, at)
	}
	if err != nil {
		return fmt.Errorf("split region %s: %w", r.Encoded, err)
	}
	return nil
}

// splitOldRegion is SplitRegion before HBase 2.0.
func (c *Cluster) splitOldRegion(ctx context.Context, r Region, at []byte) error {
	ctx, cancel := withDefaultTimeout(ctx, 2*callTimeout)
	defer cancel()
	conn, err := c.Admin(ctx, r.Server)
	if err != nil {
		return err
	}
	req := &pb.SplitRegionRequest{
		Region:     &pb.RegionSpecifier{Type: pb.RegionSpecifier_REGION_NAME.Enum(), Value: r.Name},
		SplitPoint: at,
	}
	if _, err := conn.Call(ctx, "SplitRegion", req, nil, &pb.SplitRegionResponse{}); err != nil {
		return classify(err)
	}
	for pause := pollMin; ; pause = min(2*pause, pollMax) {
		regions, err := c.Regions(ctx, r.Table)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(regions, func(x Region) bool { return x.Encoded == r.Encoded }) {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("it is not split yet: %w", ctx.Err())
		}
	}
}

// regionID takes the creation time out of "<table>,<start key>,<id>.<hash>.".
func regionID(name []byte) (uint64, error) {
	if _, err := encodedRegionName(name); err != nil {
		return 0, err
	}
	rest := name[bytes.LastIndexByte(name, ',')+1:]
	digits, _, _ := bytes.Cut(rest, []byte("."))
	id, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parse region name %q: id: %w", name, err)
	}
	return id, nil
}
