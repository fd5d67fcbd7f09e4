package scan

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/hbase/cell"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
)

// cellStream hands out the cells of one row.
type cellStream struct{ cells []cell.Cell }

func (s *cellStream) ReadPoint() uint64           { return 10 }
func (s *cellStream) Close(context.Context) error { return nil }
func (s *cellStream) Next(context.Context) (*hscan.Batch, error) {
	if len(s.cells) == 0 {
		return nil, io.EOF
	}
	b := &hscan.Batch{Cells: s.cells, RowsComplete: true}
	s.cells = nil
	return b, nil
}

// recorder keeps the records.
type recorder struct {
	t       *testing.T
	records []string
}

func (r *recorder) ProduceEncoded(_ context.Context, _ kafka.TopicPartition, recs kafka.Records, done func(error)) {
	for rec := range recs.All() {
		var d schema.Decoder
		var c schema.Change
		if err := d.Decode(rec.Value, &c); err != nil {
			r.t.Error(err)
		}
		text := ""
		for _, k := range c.Cells {
			text += fmt.Sprintf("%s:%s@%d %s, ", k.Family, k.Qualifier, k.Timestamp, k.Type)
		}
		r.records = append(r.records, strings.TrimSuffix(text, ", "))
	}
	done(nil)
}

// Whoever reads one record of a row that was split must see what hides its cells.
func TestRecordsOfASplitRowBeginWithTheMarkersThatHideTheirCells(t *testing.T) {
	k := func(typ cell.Type, family, qualifier string, timestamp int64) cell.Cell {
		c := cell.Cell{Row: []byte("r"), Family: []byte(family), Qualifier: []byte(qualifier), Timestamp: timestamp, Type: typ}
		if typ == cell.Put {
			c.Value = make([]byte, 1000)
		}
		return c
	}
	cells := []cell.Cell{
		k(cell.DeleteFamily, "a", "", 9), k(cell.DeleteFamilyVersion, "a", "", 8), k(cell.DeleteFamily, "a", "", 7),
		k(cell.DeleteColumn, "a", "p", 6), k(cell.Put, "a", "p", 5),
		k(cell.DeleteColumn, "a", "q", 6), k(cell.DeleteColumn, "a", "q", 5), k(cell.Delete, "a", "q", 4), k(cell.Put, "a", "q", 4),
		k(cell.Put, "a", "q", 3),
		k(cell.Put, "b", "q", 3),
	}
	w, rec := newWorld(0, whole), &recorder{t: t}
	s := w.scanner(Config{RecordBytes: 1000})
	s.cfg.Publisher = source.NewPublisher(rec, 0, func(string, source.Tally) {})
	s.cfg.Publisher.Route("default:t", "p.default.t", 1, source.Encoding{})
	s.open = func(context.Context, hscan.Request) (Stream, error) { return &cellStream{cells: cells}, nil }
	s.cfg.ProgressInterval = time.Hour
	if err := s.run(t.Context(), []Table{{Name: "default:t", Epoch: 1}}); err != nil {
		t.Fatal(err)
	}
	const family = "a:@9 DeleteFamily, a:@8 DeleteFamilyVersion, "
	want := []string{
		family + "a:@7 DeleteFamily, a:p@6 DeleteColumn, a:p@5 Put",
		family + "a:q@6 DeleteColumn, a:q@5 DeleteColumn, a:q@4 Delete, a:q@4 Put",
		family + "a:q@6 DeleteColumn, a:q@3 Put",
		"b:q@3 Put",
	}
	if got := strings.Join(rec.records, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("records\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}
