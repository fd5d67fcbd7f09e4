package admin

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

func TestProcedureIsAwaited(t *testing.T) {
	var polls atomic.Int32
	c, _ := clusterAt(t, master{
		"CreateTable": func(call *rpc.Call) {
			req := decode[pb.CreateTableRequest](t, call)
			if req.GetNonce() == 0 || req.GetNonceGroup() == 0 || len(req.GetSplitKeys()) != 1 {
				t.Errorf("request %v", req)
			}
			call.Reply(&pb.CreateTableResponse{ProcId: proto.Uint64(7)})
		},
		"getProcedureResult": func(call *rpc.Call) {
			if id := decode[pb.GetProcedureResultRequest](t, call).GetProcId(); id != 7 {
				t.Errorf("procedure %d", id)
			}
			state := pb.GetProcedureResultResponse_RUNNING
			if polls.Add(1) == 3 {
				state = pb.GetProcedureResultResponse_FINISHED
			}
			call.Reply(&pb.GetProcedureResultResponse{State: &state})
		},
	}.serve(t))
	err := c.CreateTable(t.Context(), Table{Namespace: "a", Qualifier: "t"}, [][]byte{[]byte("m")})
	if err != nil || polls.Load() != 3 {
		t.Errorf("%d polls, %v", polls.Load(), err)
	}
}

func TestProcedureFails(t *testing.T) {
	var result atomic.Pointer[pb.GetProcedureResultResponse]
	c, _ := clusterAt(t, master{
		"DeleteTable":        reply(&pb.DeleteTableResponse{ProcId: proto.Uint64(7)}),
		"getProcedureResult": func(call *rpc.Call) { call.Reply(result.Load()) },
	}.serve(t))
	result.Store(&pb.GetProcedureResultResponse{
		State: pb.GetProcedureResultResponse_FINISHED.Enum(),
		Exception: &pb.ForeignExceptionMessage{GenericException: &pb.GenericExceptionMessage{
			ClassName: proto.String("org.apache.hadoop.hbase.TableNotFoundException"), Message: proto.String("a:t"),
		}},
	})
	err := c.DeleteTable(t.Context(), "a:t")
	if !errors.Is(err, ErrTableNotFound) || !strings.Contains(err.Error(), "delete table a:t: procedure 7: ") {
		t.Errorf("error %v", err)
	}
	result.Store(&pb.GetProcedureResultResponse{State: pb.GetProcedureResultResponse_NOT_FOUND.Enum()})
	if err = c.DeleteTable(t.Context(), "a:t"); err == nil || !strings.Contains(err.Error(), "does not know it") {
		t.Errorf("error %v", err)
	}
}

func TestProcedureOutlivesTheDeadline(t *testing.T) {
	running := make(chan struct{})
	var once atomic.Bool
	c, _ := clusterAt(t, master{
		"EnableTable": reply(&pb.EnableTableResponse{ProcId: proto.Uint64(7)}),
		"getProcedureResult": func(call *rpc.Call) {
			if once.CompareAndSwap(false, true) {
				close(running)
			}
			call.Reply(&pb.GetProcedureResultResponse{State: pb.GetProcedureResultResponse_RUNNING.Enum()})
		},
	}.serve(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-running
		cancel()
	}()
	if err := c.EnableTable(ctx, "t"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAlterOnAMasterWithoutProcedures(t *testing.T) {
	left := uint32(2)
	c, _ := clusterAt(t, master{
		"ModifyTable": reply(&pb.ModifyTableResponse{}),
		"GetSchemaAlterStatus": func(call *rpc.Call) {
			call.Reply(&pb.GetSchemaAlterStatusResponse{YetToUpdateRegions: proto.Uint32(left), TotalRegions: proto.Uint32(3)})
			left--
		},
	}.serve(t))
	if err := c.ModifyTable(t.Context(), Table{Namespace: "a", Qualifier: "t"}); err != nil {
		t.Error(err)
	}
}

func TestMasterThatIsNotReadyIsAskedAgain(t *testing.T) {
	var asked atomic.Int32
	c, _ := clusterAt(t, master{
		"ListNamespaceDescriptors": func(call *rpc.Call) {
			if asked.Add(1) < 3 {
				fail("PleaseHoldException", "Master is initializing")(call)
				return
			}
			call.Reply(&pb.ListNamespaceDescriptorsResponse{NamespaceDescriptor: []*pb.NamespaceDescriptor{
				{Name: []byte("b")}, {Name: []byte("a")},
			}})
		},
	}.serve(t))
	names, err := c.Namespaces(t.Context())
	if err != nil || strings.Join(names, " ") != "a b" || asked.Load() != 3 {
		t.Errorf("%q after %d calls, %v", names, asked.Load(), err)
	}
}

func TestMasterIsLocatedAgain(t *testing.T) {
	t.Parallel()
	ok := master{"ListNamespaceDescriptors": reply(&pb.ListNamespaceDescriptorsResponse{})}.serve(t)
	c, zk := clusterAt(t, "127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // in which it is tried, on a busy machine too
	defer cancel()
	_, err := c.Namespaces(ctx)
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dead master: %v", err)
	}
	zk.set("/hbase/master", payload(t, &pb.Master{Master: serverAt(t, ok)}))
	if _, err := c.Namespaces(t.Context()); err != nil {
		t.Errorf("new master: %v", err)
	}
}

func TestNoMaster(t *testing.T) {
	t.Parallel()
	c, zk := clusterAt(t, "127.0.0.1:1")
	delete(zk.nodes, "/hbase/master")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := c.Peers(ctx)
	for _, want := range []string{"list replication peers", "no master is active on zk1:2181", "hbase.zookeeper.znode.parent"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// TestUnknownOutcomeIsNotRepeated has a call without a nonce, whose answer does not come.
func TestUnknownOutcomeIsNotRepeated(t *testing.T) {
	var calls atomic.Int32
	held := make(chan *rpc.Call, 2)
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := clusterAt(t, master{"AddReplicationPeer": func(call *rpc.Call) {
		calls.Add(1)
		held <- call
		cancel()
	}}.serve(t))
	err := c.AddPeer(ctx, Peer{ID: "p"})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "unknown: look before repeating it") || calls.Load() != 1 {
		t.Errorf("%d calls, error %v", calls.Load(), err)
	}
	(<-held).Reply(&pb.AddReplicationPeerResponse{})
}

func TestRemoteErrors(t *testing.T) {
	for _, tt := range []struct {
		class, message string
		want           error
		text           string
	}{
		{"TableNotFoundException", "t", ErrTableNotFound, ""},
		{"TableNotDisabledException", "t", ErrTableNotDisabled, ""},
		{"TableNotEnabledException", "t", ErrTableNotEnabled, ""},
		{"NamespaceExistException", "n", ErrNamespaceExists, ""},
		{"NamespaceNotFoundException", "n", ErrNamespaceNotFound, ""},
		{"ReplicationPeerNotFoundException", "p", ErrPeerNotFound, ""},
		{"DoNotRetryIOException", "Replication peer p already exists", ErrPeerExists, ""},
		{"DoNotRetryIOException", "Replication peer p does not exist", ErrPeerNotFound, ""},
		{"DoNotRetryIOException", "something else", nil, "something else"},
		{"security.AccessDeniedException", "no", nil, "grant the user the ADMIN permission"},
	} {
		remote := &rpc.RemoteError{Class: "org.apache.hadoop.hbase." + tt.class, Message: tt.message}
		err := classify(remote)
		if tt.want != nil && !errors.Is(err, tt.want) || !errors.Is(err, remote) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s %q: %v", tt.class, tt.message, err)
		}
		for _, other := range []error{ErrTableNotFound, ErrPeerExists, ErrPeerNotFound} {
			if other != tt.want && errors.Is(err, other) {
				t.Errorf("%s %q counts as %v", tt.class, tt.message, other)
			}
		}
	}
	if err := classify(context.Canceled); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}
