package put

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// server answers a put with what it is told.
type server struct {
	req       *pb.MutateRequest
	processed *bool
	err       error
}

func (s *server) Call(_ context.Context, method string, req proto.Message, cells []byte, resp proto.Message) ([]byte, error) {
	if method != "Mutate" || cells != nil {
		return nil, errors.New("want Mutate without a cell block")
	}
	s.req = req.(*pb.MutateRequest)
	resp.(*pb.MutateResponse).Processed = s.processed
	return nil, s.err
}

func TestPut(t *testing.T) {
	k := Cell{Row: []byte("r"), Family: []byte("f"), Qualifier: []byte("q"), Value: []byte("v")}
	s := &server{processed: proto.Bool(true)}
	if err := put(t.Context(), s, []byte("region"), k); err != nil {
		t.Fatal(err)
	}
	m := s.req.GetMutation()
	column := m.GetColumnValue()[0]
	if string(s.req.GetRegion().GetValue()) != "region" || string(m.GetRow()) != "r" || m.GetMutateType() != pb.MutationProto_PUT ||
		string(column.GetFamily()) != "f" || string(column.GetQualifierValue()[0].GetQualifier()) != "q" ||
		string(column.GetQualifierValue()[0].GetValue()) != "v" || m.GetDurability() != pb.MutationProto_SYNC_WAL {
		t.Errorf("sent %v", s.req)
	}
	for name, c := range map[string]struct {
		server  *server
		serving bool
	}{
		"refused":     {&server{processed: proto.Bool(false)}, true},
		"moved":       {&server{err: &rpc.RemoteError{Class: "org.apache.hadoop.hbase.NotServingRegionException"}}, false},
		"connection":  {&server{err: &rpc.ConnError{Addr: "a", Err: io.EOF}}, false},
		"not allowed": {&server{err: &rpc.RemoteError{Class: "org.apache.hadoop.hbase.security.AccessDeniedException"}}, true},
	} {
		if err := put(t.Context(), c.server, []byte("region"), k); err == nil || errors.Is(err, ErrNotServing) == c.serving {
			t.Errorf("%s: %v", name, err)
		}
	}
}
