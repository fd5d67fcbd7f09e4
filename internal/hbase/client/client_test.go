package client

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tsuna/gohbase"
	"github.com/tsuna/gohbase/hrpc"
	"github.com/tsuna/gohbase/pb"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
)

// recorder is a gohbase client that keeps the mutation it is given, and has one row to read.
type recorder struct {
	gohbase.Client
	t        *testing.T
	mutation *pb.MutationProto
	err      error
}

func (r *recorder) record(m *hrpc.Mutate) (*hrpc.Result, error) {
	if _, ok := m.Context().Deadline(); !ok {
		r.t.Error("a call without deadline")
	}
	m.SetRegion(region{})
	r.mutation = m.ToProto().(*pb.MutateRequest).GetMutation()
	return &hrpc.Result{}, r.err
}

func (r *recorder) Put(m *hrpc.Mutate) (*hrpc.Result, error)    { return r.record(m) }
func (r *recorder) Delete(m *hrpc.Mutate) (*hrpc.Result, error) { return r.record(m) }
func (r *recorder) Append(m *hrpc.Mutate) (*hrpc.Result, error) { return r.record(m) }

func (r *recorder) Increment(m *hrpc.Mutate) (int64, error) {
	_, err := r.record(m)
	return 9, err
}

func (r *recorder) Get(*hrpc.Get) (*hrpc.Result, error) { return oneRow(), r.err }

func (r *recorder) Scan(s *hrpc.Scan) hrpc.Scanner {
	if _, ok := s.Context().Deadline(); !ok {
		r.t.Error("a scan without deadline")
	}
	return &scanner{err: r.err, rows: []*hrpc.Result{oneRow(), oneRow()}}
}

type scanner struct {
	hrpc.Scanner
	rows []*hrpc.Result
	err  error
}

func (s *scanner) Next() (*hrpc.Result, error) {
	if s.err != nil {
		return nil, s.err
	}
	if len(s.rows) == 0 {
		return nil, io.EOF
	}
	row := s.rows[0]
	s.rows = s.rows[1:]
	return row, nil
}

func (s *scanner) Close() error { return nil }

func oneRow() *hrpc.Result {
	return &hrpc.Result{Cells: []*hrpc.Cell{{
		Row: []byte("r"), Family: []byte("f"), Qualifier: []byte("q"), Value: []byte("v"),
		Timestamp: proto.Uint64(7), CellType: pb.CellType_PUT.Enum(),
	}}}
}

type region struct{ hrpc.RegionInfo }

func (region) Name() []byte { return []byte("region") }

func TestMutations(t *testing.T) {
	ctx := t.Context()
	const put, del = pb.MutationProto_PUT, pb.MutationProto_DELETE
	const (
		column        = pb.MutationProto_DELETE_MULTIPLE_VERSIONS
		version       = pb.MutationProto_DELETE_ONE_VERSION
		family        = pb.MutationProto_DELETE_FAMILY
		familyVersion = pb.MutationProto_DELETE_FAMILY_VERSION
	)
	for _, tt := range []struct {
		name      string
		call      func(*Client) error
		mutation  pb.MutationProto_MutationType
		delete    *pb.MutationProto_DeleteType
		timestamp uint64
		attribute string
	}{
		{"put", func(c *Client) error { return c.Put(ctx, "t", "r", Values{"f": {"q": []byte("v")}}) }, put, nil, 0, ""},
		{"put with time", func(c *Client) error {
			return c.Put(ctx, "t", "r", Values{"f": {"q": []byte("v")}}, Timestamp(5), TTL(time.Second))
		}, put, nil, 5, "_ttl"},
		{"delete row", func(c *Client) error { return c.DeleteRow(ctx, "t", "r", Timestamp(5)) }, del, nil, 5, ""},
		{"delete family", func(c *Client) error { return c.DeleteFamily(ctx, "t", "r", "f") }, del, family.Enum(), 0, ""},
		{"delete family version", func(c *Client) error { return c.DeleteFamilyVersion(ctx, "t", "r", "f", 5) }, del, familyVersion.Enum(), 5, ""},
		{"delete column", func(c *Client) error { return c.DeleteColumn(ctx, "t", "r", "f", "q", Timestamp(5)) }, del, column.Enum(), 5, ""},
		{"delete version", func(c *Client) error { return c.DeleteVersion(ctx, "t", "r", "f", "q", Timestamp(5)) }, del, version.Enum(), 5, ""},
		{"append", func(c *Client) error { return c.Append(ctx, "t", "r", Values{"f": {"q": []byte("v")}}) }, pb.MutationProto_APPEND, nil, 0, ""},
		{"increment", func(c *Client) error {
			n, err := c.Increment(ctx, "t", "r", "f", "q", 2)
			if n != 9 {
				t.Errorf("increment returned %d", n)
			}
			return err
		}, pb.MutationProto_INCREMENT, nil, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := &recorder{t: t}
			c := &Client{hbase: fake, timeout: time.Minute}
			if err := tt.call(c); err != nil {
				t.Fatal(err)
			}
			m := fake.mutation
			if string(m.GetRow()) != "r" || m.GetMutateType() != tt.mutation {
				t.Errorf("mutation %v", m)
			}
			if tt.timestamp != 0 && timestampOf(m) != tt.timestamp {
				t.Errorf("timestamp %d, want %d: %v", timestampOf(m), tt.timestamp, m)
			}
			if tt.delete != nil {
				got := m.GetColumnValue()[0].GetQualifierValue()[0].GetDeleteType()
				if got != *tt.delete {
					t.Errorf("delete type %v, want %v", got, *tt.delete)
				}
			}
			if tt.attribute != "" && (len(m.GetAttribute()) != 1 || m.GetAttribute()[0].GetName() != tt.attribute) {
				t.Errorf("attributes %v", m.GetAttribute())
			}
			fake.err = errors.New("refused")
			err := tt.call(c)
			if !errors.Is(err, fake.err) || !strings.Contains(err.Error(), ` t "r": `) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// timestampOf returns the timestamp of a mutation, or of its first value.
func timestampOf(m *pb.MutationProto) uint64 {
	if m.Timestamp != nil {
		return m.GetTimestamp()
	}
	return m.GetColumnValue()[0].GetQualifierValue()[0].GetTimestamp()
}

func TestReads(t *testing.T) {
	fake := &recorder{t: t}
	c := &Client{hbase: fake, timeout: time.Minute}
	check := func(cells []cell.Cell) {
		t.Helper()
		if len(cells) != 1 || string(cells[0].Value) != "v" || cells[0].Timestamp != 7 || cells[0].Type != cell.Put {
			t.Errorf("cells %v", cells)
		}
	}
	cells, err := c.Get(t.Context(), "t", "r")
	if err != nil {
		t.Fatal(err)
	}
	check(cells)
	rows := 0
	err = c.Scan(t.Context(), "t", "", "", func(row []cell.Cell) error {
		rows++
		check(row)
		return nil
	})
	if err != nil || rows != 2 {
		t.Errorf("%d rows, %v", rows, err)
	}
	stop := errors.New("stop")
	if err := c.Scan(t.Context(), "t", "", "", func([]cell.Cell) error { return stop }); err != stop {
		t.Errorf("error %v", err)
	}
	fake.err = errors.New("refused")
	if _, err := c.Get(t.Context(), "t", "r"); !errors.Is(err, fake.err) {
		t.Errorf("get: %v", err)
	}
	if err := c.Scan(t.Context(), "t", "", "", nil); !errors.Is(err, fake.err) {
		t.Errorf("scan: %v", err)
	}
}

// TestDeadline has no cluster at all: gohbase would try for ever.
func TestDeadline(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	c := New(Config{Quorum: []string{ln.Addr().String()}, Timeout: 50 * time.Millisecond})
	defer c.Close()
	err = c.Put(t.Context(), "t", "r", Values{"f": {"q": nil}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
