package admin

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// snapshotVersion is the layout that HBase writes since 0.99: one manifest.
const snapshotVersion = 2

// Snapshot is a complete snapshot, as the master lists it.
type Snapshot struct {
	Name    string
	Table   string // "ns:t"
	Created time.Time
}

// Snapshots lists the complete snapshots.
func (c *Cluster) Snapshots(ctx context.Context) ([]Snapshot, error) {
	var resp pb.GetCompletedSnapshotsResponse
	call := masterCall{method: "GetCompletedSnapshots", req: &pb.GetCompletedSnapshotsRequest{}, resp: &resp, repeatable: true}
	if err := c.callMaster(ctx, call); err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var out []Snapshot
	for _, s := range resp.GetSnapshots() {
		out = append(out, Snapshot{Name: s.GetName(), Table: fullName(s.GetTable()), Created: time.UnixMilli(s.GetCreationTime())})
	}
	return out, nil
}

// CreateSnapshot makes a snapshot of a table of which all regions are flushed first, and waits until it is complete: what was
// acknowledged before the call is in it. ErrTableNotFound, ErrSnapshotExists, ErrSnapshotFailed.
func (c *Cluster) CreateSnapshot(ctx context.Context, name, table string) error {
	ctx, cancel := withDefaultTimeout(ctx, c.cfg.OperationTimeout)
	defer cancel()
	d := &pb.SnapshotDescription{Name: &name, Table: proto.String(metaName(fullName(table))), Type: pb.SnapshotDescription_FLUSH.Enum(), Version: proto.Int32(snapshotVersion)}
	req := &pb.SnapshotRequest{Snapshot: d}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.SnapshotResponse
	// Not repeatable: a master without procedures for snapshots knows no nonces.
	err := c.procedureCall(ctx, masterCall{method: "Snapshot", req: req, resp: &resp}, func() *uint64 {
		if resp.ProcId == nil || *resp.ProcId < 0 {
			return nil
		}
		return proto.Uint64(uint64(*resp.ProcId))
	})
	if err == nil && (resp.ProcId == nil || *resp.ProcId < 0) {
		err = c.awaitSnapshot(ctx, d)
	}
	if err != nil {
		return fmt.Errorf("snapshot table %s: %w", fullName(table), err)
	}
	return nil
}

// awaitSnapshot waits for a snapshot of a master without procedures for it.
func (c *Cluster) awaitSnapshot(ctx context.Context, d *pb.SnapshotDescription) error {
	for pause := pollMin; ; pause = min(pause*3/2, pollMax) {
		var resp pb.IsSnapshotDoneResponse
		err := c.callMaster(ctx, masterCall{method: "IsSnapshotDone", req: &pb.IsSnapshotDoneRequest{Snapshot: d}, resp: &resp, repeatable: true})
		if err != nil || resp.GetDone() {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("it is not complete: %w", ctx.Err())
		}
	}
}

// DeleteSnapshot deletes a snapshot; one that is not there is no error. Files that only it has need of go with the archive's cleaner.
func (c *Cluster) DeleteSnapshot(ctx context.Context, name string) error {
	req := &pb.DeleteSnapshotRequest{Snapshot: &pb.SnapshotDescription{Name: &name}}
	err := c.callMaster(ctx, masterCall{method: "DeleteSnapshot", req: req, resp: &pb.DeleteSnapshotResponse{}, repeatable: true})
	if err != nil && !rpc.IsRemote(err, "SnapshotDoesNotExistException") {
		return fmt.Errorf("delete snapshot %s: %w", name, err)
	}
	return nil
}
