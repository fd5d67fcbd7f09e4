// Package put writes one cell through one given region server: what the watermark's heartbeats need. A client's put
// finds the region's server by itself and goes there, wherever it is now; this one never does, since its very point is
// which server has it in its write-ahead log.
package put

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/regionscan"
)

// ErrNotServing says that the server does not serve the region, or does not answer: the cell was not written there, or
// nobody knows.
var ErrNotServing = errors.New("the server does not serve the region")

// Cell is what is written. The server gives it its timestamp.
type Cell struct{ Row, Family, Qualifier, Value []byte }

// Servers hands out connections to region servers; an *admin.Cluster.
type Servers interface {
	Client(ctx context.Context, s admin.ServerName) (*rpc.Conn, error)
}

// caller sends calls to a region server's ClientService: an *rpc.Conn.
type caller interface {
	Call(ctx context.Context, method string, req proto.Message, cells []byte, resp proto.Message) ([]byte, error)
}

// Put writes k to a region (its full name) on s. Nil means that s answered success: the cell is in its write-ahead log.
func Put(ctx context.Context, servers Servers, s admin.ServerName, region []byte, k Cell) error {
	conn, err := servers.Client(ctx, s)
	if err != nil {
		return fmt.Errorf("put to %s: %w: %w", s, ErrNotServing, err)
	}
	if err := put(ctx, conn, region, k); err != nil {
		return fmt.Errorf("put to %s: %w", s, err)
	}
	return nil
}

func put(ctx context.Context, conn caller, region []byte, k Cell) error {
	var resp pb.MutateResponse
	_, err := conn.Call(ctx, "Mutate", &pb.MutateRequest{
		Region: &pb.RegionSpecifier{Type: pb.RegionSpecifier_REGION_NAME.Enum(), Value: region},
		Mutation: &pb.MutationProto{
			Row:        k.Row,
			MutateType: pb.MutationProto_PUT.Enum(),
			Durability: pb.MutationProto_SYNC_WAL.Enum(),
			ColumnValue: []*pb.MutationProto_ColumnValue{{
				Family:         k.Family,
				QualifierValue: []*pb.MutationProto_ColumnValue_QualifierValue{{Qualifier: k.Qualifier, Value: k.Value}},
			}},
		},
	}, nil, &resp)
	switch {
	case regionscan.Gone(err):
		return fmt.Errorf("%w: %w", ErrNotServing, err)
	case err != nil:
		return err
	case resp.Processed != nil && !resp.GetProcessed():
		return errors.New("the server answered that it did not write the cell")
	}
	return nil
}
