package mutate

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

const (
	// conditionalCalls is how many conditional calls are under way at once.
	conditionalCalls = 32
	// getsPerCall bounds the rows that are looked at in one call.
	getsPerCall = 1000
)

// PutAbsent writes those of b's mutations whose column has no value yet. Each mutation is puts of one column, and no two are
// of the same one. It returns how many cells were left out; the rest is in the servers' logs when the error is nil. The check and
// the write of a column are one step for everybody else, but for a column that somebody gives an empty value in between: that
// is taken for none.
func (w *Writer) PutAbsent(ctx context.Context, b Batch) (kept int, err error) {
	there, err := w.existing(ctx, &b)
	if err != nil {
		return 0, err
	}
	var present atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(conditionalCalls)
	for i, m := range b.Mutations {
		if there[i] {
			present.Add(int64(m.Len()))
			continue
		}
		g.Go(func() error {
			written, err := w.putAbsent(ctx, &b, m)
			if err == nil && !written {
				present.Add(int64(m.Len()))
			}
			return err
		})
	}
	err = g.Wait()
	return int(present.Load()), err
}

// existing tells of each mutation whether its column has a value.
func (w *Writer) existing(ctx context.Context, b *Batch) (map[int]bool, error) {
	rows := rowsOf(b.Mutations)
	found := make(map[int]bool)
	for len(rows) > 0 {
		chunk := rows[:min(getsPerCall, len(rows))]
		rows = rows[len(chunk):]
		if err := w.look(ctx, b, chunk, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// rowsOf groups mutations by row.
func rowsOf(mutations []Mutation) [][]int {
	var rows [][]int
	at := make(map[string]int)
	for i, m := range mutations {
		n, ok := at[string(m.Row())]
		if !ok {
			n = len(rows)
			at[string(m.Row())] = n
			rows = append(rows, nil)
		}
		rows[n] = append(rows[n], i)
	}
	return rows
}

// look asks for rows, each the mutations of one row, and adds to found those whose column has a value.
func (w *Writer) look(ctx context.Context, b *Batch, rows [][]int, found map[int]bool) error {
	row := func(i int) []byte { return b.Mutations[rows[i][0]].Row() }
	return w.persist(ctx, func() error {
		columns := make([]map[string]bool, len(rows))
		seen, err := w.each(ctx, b.Table, len(rows), row, func(ctx context.Context, s *share) error {
			actions := make([][]*pb.Action, len(s.regions))
			for r, region := range s.regions {
				for _, i := range region.items {
					actions[r] = append(actions[r], &pb.Action{Get: getOf(b.Mutations, rows[i])})
				}
			}
			return w.multi(ctx, s, actions, func(i int, cells []cell.Cell) {
				s.done[i], columns[i] = true, make(map[string]bool, len(cells))
				for j := range cells {
					columns[i][column(&cells[j])] = true
				}
			})
		})
		var left [][]int
		for i, mutations := range rows {
			if !seen[i] {
				left = append(left, mutations)
			}
			for _, m := range mutations {
				if columns[i][columnOf(b.Mutations[m])] {
					found[m] = true
				}
			}
		}
		rows = left
		return err
	})
}

// column is k's as one string; a family's name holds no colon.
func column(k *cell.Cell) string { return string(k.Family) + ":" + string(k.Qualifier) }

func columnOf(m Mutation) string {
	k := first(m)
	return column(&k)
}

// keyOnly takes the values off what a Get returns.
var keyOnly = &pb.Filter{Name: proto.String("org.apache.hadoop.hbase.filter.KeyOnlyFilter"), SerializedFilter: mustMarshal(&pb.KeyOnlyFilter{LenAsVal: proto.Bool(false)})}

// nothing is what a column that has no value is compared with.
var nothing = &pb.Comparator{Name: proto.String("org.apache.hadoop.hbase.filter.BinaryComparator"),
	SerializedComparator: mustMarshal(&pb.BinaryComparator{Comparable: &pb.ByteArrayComparable{}})}

// mustMarshal is for messages that are complete.
func mustMarshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// getOf asks for the columns of mutations of one row.
func getOf(mutations []Mutation, of []int) *pb.Get {
	g := &pb.Get{Row: mutations[of[0]].Row(), Filter: keyOnly, MaxVersions: proto.Uint32(1)}
	byFamily := make(map[string]*pb.Column)
	for _, i := range of {
		k := first(mutations[i])
		c := byFamily[string(k.Family)]
		if c == nil {
			c = &pb.Column{Family: k.Family}
			byFamily[string(k.Family)], g.Column = c, append(g.Column, c)
		}
		c.Qualifier = append(c.Qualifier, k.Qualifier)
	}
	return g
}

// putAbsent writes one column, unless it has a value.
func (w *Writer) putAbsent(ctx context.Context, b *Batch, m Mutation) (written bool, err error) {
	var block []byte
	var k cell.Cell
	for i := range m.Len() {
		m.Cell(i, &k)
		block = Codec.Append(block, &k)
	}
	m.Cell(0, &k)
	attributes := attributesOf(b.Attributes)
	err = w.persist(ctx, func() error {
		_, err := w.each(ctx, b.Table, 1, func(int) []byte { return m.Row() }, func(ctx context.Context, s *share) error {
			return w.call(ctx, s.server, func(ctx context.Context, conn *rpc.Conn) error {
				req := &pb.MutateRequest{Region: specifier(s.regions[0].region), Mutation: mutation(m, attributes), Condition: absence(&k)}
				resp := &pb.MutateResponse{}
				if _, err := conn.Call(ctx, "Mutate", req, block, resp); err != nil {
					return err
				}
				if resp.Processed == nil {
					return fmt.Errorf("the server does not say whether it has written the column: it does not know conditions")
				}
				written, s.done[0] = resp.GetProcessed(), true
				return nil
			})
		})
		return err
	})
	return written, err
}

// absence is the condition that k's column has no value.
func absence(k *cell.Cell) *pb.Condition {
	qualifier := append([]byte{}, k.Qualifier...) // not nil: an empty one is one, too
	return &pb.Condition{Row: k.Row, Family: k.Family, Qualifier: qualifier, CompareType: pb.CompareType_EQUAL.Enum(), Comparator: nothing}
}

var _ Cluster = (*admin.Cluster)(nil)
