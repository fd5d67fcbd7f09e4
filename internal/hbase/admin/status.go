package admin

import (
	"context"
	"fmt"

	"github.com/waltap/waltap/internal/hbase/pb"
)

// Status is the cluster as its master sees it.
type Status struct {
	Version string // "2.6.4"
	Master  ServerName
	Servers []ServerStatus
}

// ServerStatus is what a live region server last reported.
type ServerStatus struct {
	Name        ServerName
	Reported    int64 // when, by the server's clock, ms; 0: unknown
	Regions     []RegionLoad
	Replication []ReplicationLoad
}

// RegionLoad is the size of a region.
type RegionLoad struct {
	Name        []byte // full region name
	StoreFileMB uint32
	// UncompressedMB is what the store files hold uncompressed.
	UncompressedMB uint32
	MemStoreMB     uint32
	// LastMajorCompaction is when the oldest of the region's files that a major compaction made was made, ms; 0: there is
	// none. Delete markers leave by major compactions only.
	LastMajorCompaction int64
}

// ReplicationLoad is the state of one replication source: one peer's queue on one server.
type ReplicationLoad struct {
	PeerID, QueueID string
	// LogQueue is the number of WAL files that wait.
	LogQueue uint32
	// AgeOfLastShipped and Lag are in ms; LastShipped and NextToShip in ms since the epoch, 0 when unknown.
	AgeOfLastShipped, Lag   uint64
	LastShipped, NextToShip uint64
	Recovered, Running      bool
}

// Status asks the master for the live servers with their regions and replication sources.
func (c *Cluster) Status(ctx context.Context) (*Status, error) {
	ctx, cancel := withDefaultTimeout(ctx, 2*callTimeout)
	defer cancel()
	var resp pb.GetClusterStatusResponse
	err := c.callMaster(ctx, masterCall{
		method: "GetClusterStatus",
		req: &pb.GetClusterStatusRequest{Options: []pb.Option{
			pb.Option_HBASE_VERSION, pb.Option_MASTER, pb.Option_LIVE_SERVERS,
		}},
		resp:       &resp,
		repeatable: true,
	})
	if err != nil {
		return nil, fmt.Errorf("get cluster status: %w", err)
	}
	return statusOf(resp.GetClusterStatus()), nil
}

func statusOf(m *pb.ClusterStatus) *Status {
	st := &Status{
		Version: m.GetHbaseVersion().GetVersion(),
		Master:  serverNameOf(m.GetMaster()),
	}
	for _, live := range m.GetLiveServers() {
		s := ServerStatus{Name: serverNameOf(live.GetServer()), Reported: int64(live.GetServerLoad().GetReportEndTime())}
		for _, r := range live.GetServerLoad().GetRegionLoads() {
			s.Regions = append(s.Regions, RegionLoad{
				Name:           r.GetRegionSpecifier().GetValue(),
				StoreFileMB:    r.GetStorefileSize_MB(),
				UncompressedMB: r.GetStoreUncompressedSize_MB(),
				MemStoreMB:     r.GetMemStoreSize_MB(),

				LastMajorCompaction: int64(r.GetLastMajorCompactionTs()),
			})
		}
		for _, r := range live.GetServerLoad().GetReplLoadSource() {
			s.Replication = append(s.Replication, ReplicationLoad{
				PeerID:           r.GetPeerID(),
				QueueID:          r.GetQueueId(),
				LogQueue:         r.GetSizeOfLogQueue(),
				AgeOfLastShipped: r.GetAgeOfLastShippedOp(),
				Lag:              r.GetReplicationLag(),
				LastShipped:      r.GetTimeStampOfLastShippedOp(),
				NextToShip:       r.GetTimeStampOfNextToReplicate(),
				Recovered:        r.GetRecovered(),
				Running:          r.GetRunning(),
			})
		}
		st.Servers = append(st.Servers, s)
	}
	return st
}
