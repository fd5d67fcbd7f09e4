package mutate

import (
	"bytes"
	"context"
	"fmt"
	"slices"
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

// Columns are puts to one table: each item of one column, and no two of the same one.
type Columns struct {
	Table      string // "ns:table"
	Attributes map[string][]byte
	Puts       []Cells
}

// PutAbsent writes those of b's puts whose column has no value yet. It returns how many cells were left out; the rest is in the
// servers' logs when the error is nil. The check and the write of a column are one step for everybody else, but for a column that somebody gives an empty value in between: that
// is taken for none.
func (w *Writer) PutAbsent(ctx context.Context, b Columns) (kept int, err error) {
	there, err := w.existing(ctx, &b)
	if err != nil {
		return 0, err
	}
	var present atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(conditionalCalls)
	for i, m := range b.Puts {
		if there[i] {
			present.Add(int64(len(m)))
			continue
		}
		g.Go(func() error {
			written, err := w.putAbsent(ctx, &b, m)
			if err == nil && !written {
				present.Add(int64(len(m)))
			}
			return err
		})
	}
	err = g.Wait()
	return int(present.Load()), err
}

// existing tells of each mutation whether its column has a value.
func (w *Writer) existing(ctx context.Context, b *Columns) (map[int]bool, error) {
	rows := rowsOf(b.Puts)
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

// rowsOf groups puts by row, in the order of rows.
func rowsOf(puts []Cells) [][]int {
	var rows [][]int
	at := make(map[string]int)
	for i, m := range puts {
		n, ok := at[string(m.Row())]
		if !ok {
			n = len(rows)
			at[string(m.Row())] = n
			rows = append(rows, nil)
		}
		rows[n] = append(rows[n], i)
	}
	slices.SortFunc(rows, func(a, b []int) int { return bytes.Compare(puts[a[0]].Row(), puts[b[0]].Row()) })
	return rows
}

// look asks for rows, each the puts of one row, and adds to found those whose column has a value.
func (w *Writer) look(ctx context.Context, b *Columns, rows [][]int, found map[int]bool) error {
	row := func(i int) []byte { return b.Puts[rows[i][0]].Row() }
	return w.persist(ctx, func() error {
		columns := make([]map[string]bool, len(rows))
		seen, err := w.each(ctx, b.Table, len(rows), row, func(ctx context.Context, s *share) error {
			actions := make([][]*pb.Action, len(s.regions))
			for r, region := range s.regions {
				for i := region.from; i < region.end; i++ {
					actions[r] = append(actions[r], &pb.Action{Get: getOf(b.Puts, rows[i])})
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
		for i, puts := range rows {
			if !seen[i] {
				left = append(left, puts)
			}
			for _, n := range puts {
				if columns[i][column(&b.Puts[n][0])] {
					found[n] = true
				}
			}
		}
		rows = left
		return err
	})
}

// column is k's as one string; a family's name holds no colon.
func column(k *cell.Cell) string { return string(k.Family) + ":" + string(k.Qualifier) }

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

// getOf asks for the columns of puts of one row.
func getOf(puts []Cells, of []int) *pb.Get {
	g := &pb.Get{Row: puts[of[0]].Row(), Filter: keyOnly, MaxVersions: proto.Uint32(1)}
	byFamily := make(map[string]*pb.Column)
	for _, i := range of {
		k := &puts[i][0]
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
func (w *Writer) putAbsent(ctx context.Context, b *Columns, m Cells) (written bool, err error) {
	block := m.Append(nil)
	attributes := attributesOf(b.Attributes)
	err = w.persist(ctx, func() error {
		_, err := w.each(ctx, b.Table, 1, func(int) []byte { return m.Row() }, func(ctx context.Context, s *share) error {
			return w.call(ctx, s.server, func(ctx context.Context, conn *rpc.Conn) error {
				req := &pb.MutateRequest{Region: specifier(s.regions[0].region), Mutation: mutation(m, attributes), Condition: absence(&m[0])}
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
