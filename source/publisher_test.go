package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// queueProducer keeps its calls until settle, and as kafka.Producer sends nothing of a context that has ended.
type queueProducer struct {
	calls []queued
	sent  []string // first row of each chunk sent
}

type queued struct {
	ctx  context.Context
	row  string
	done func(error)
}

func (p *queueProducer) ProduceEncoded(ctx context.Context, _ kafka.TopicPartition, recs kafka.Records, done func(error)) {
	p.calls = append(p.calls, queued{ctx, string(slices.Collect(recs.All())[0].Key), done})
}

// settle handles the calls in order; refuse fails the chunk that begins with this row.
func (p *queueProducer) settle(refuse string, err error) {
	for _, c := range p.calls {
		switch {
		case c.ctx.Err() != nil:
			c.done(context.Cause(c.ctx))
		case c.row == refuse:
			c.done(err)
		default:
			p.sent = append(p.sent, c.row)
			c.done(nil)
		}
	}
}

func TestNoChunkGoesOutBehindOneThatWasDropped(t *testing.T) {
	p := &queueProducer{}
	records := int64(0)
	pub := NewPublisher(p, 64<<20, func(_ string, t Tally) { records += t.Records })
	pub.Route("n:t", "p.n.t", 1, Encoding{})
	b := pub.Begin(t.Context())
	value := make([]byte, chunkBytes) // each change fills a chunk
	for i := range 4 {
		c := schema.Change{Table: "n:t", Row: fmt.Appendf(nil, "r%d", i),
			Cells: []schema.Cell{{Family: []byte("f"), Type: schema.Put, Value: value}}}
		if err := b.Add(&c); err != nil {
			t.Fatal(err)
		}
	}
	var result error
	b.Commit(nil, func(err error) { result = err })
	if len(p.calls) != 4 || result != nil {
		t.Fatalf("%d chunks, answered with %v; want 4 and no answer yet", len(p.calls), result)
	}
	refused := errors.New("record too large")
	p.settle("r1", refused)
	if !errors.Is(result, refused) || fmt.Sprint(p.sent) != "[r0]" || records != 1 {
		t.Errorf("sent %v (%d records counted), answered with %v; want r0 only and the first error", p.sent, records, result)
	}
}

func TestABatchGivesItsContextBack(t *testing.T) {
	p := &queueProducer{}
	pub := NewPublisher(p, 0, func(string, Tally) {})
	pub.Route("n:t", "p.n.t", 1, Encoding{})
	b := pub.Begin(t.Context())
	if err := b.Add(&schema.Change{Table: "n:t", Row: []byte("r")}); err != nil {
		t.Fatal(err)
	}
	answered := 0
	b.Commit(nil, func(err error) {
		if answered++; err != nil {
			t.Errorf("answered with %v", err)
		}
	})
	p.settle("", nil)
	if answered != 1 || b.ctx.Err() == nil {
		t.Errorf("answered %d times, context %v; want once, and the context ended with it", answered, b.ctx.Err())
	}
}

// recordingProducer keeps what it is given.
type recordingProducer struct{ recs []kafka.Record }

func (p *recordingProducer) ProduceEncoded(_ context.Context, _ kafka.TopicPartition, recs kafka.Records, done func(error)) {
	for rec := range recs.All() {
		rec.Value = nil
		for i := range rec.Headers {
			rec.Headers[i].Value = slices.Clone(rec.Headers[i].Value)
		}
		p.recs = append(p.recs, rec)
	}
	done(nil)
}

// TestHeadersFollowTheChange: whatever differs from the change before, the headers are those that schema gives the change by itself.
func TestHeadersFollowTheChange(t *testing.T) {
	p := &recordingProducer{}
	pub := NewPublisher(p, 0, func(string, Tally) {})
	pub.Route("n:t", "p.n.t", 1, Encoding{})
	pub.Route("n:u", "p.n.u", 1, Encoding{})
	b := pub.Begin(t.Context())
	changes := map[string][]schema.Change{} // by table
	for i := range 200 {
		c := schema.Change{Table: []string{"n:t", "n:u"}[i/3%2], Row: []byte("r"), Sequence: uint64(i / 2 * 1000), Timestamp: int64(i/5) - 10,
			Source: schema.Source{Kind: []schema.Kind{schema.KindScan, schema.KindWAL}[i/50%2]},
			Cells:  []schema.Cell{{Family: []byte("f"), Type: []schema.CellType{schema.Put, schema.DeleteFamily, schema.DeleteColumn}[i/2%3]}}}
		changes[c.Table] = append(changes[c.Table], c)
		if err := b.Add(&c); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.CommitWait(nil); err != nil {
		t.Fatal(err)
	}
	if len(p.recs) != 200 {
		t.Fatalf("%d records, want 200", len(p.recs))
	}
	for _, rec := range p.recs {
		table := string(rec.Headers[1].Value)
		c := changes[table][0]
		changes[table] = changes[table][1:]
		want, _ := schema.AppendHeaders([]kafka.Header(nil), nil, &c)
		if !slices.EqualFunc(rec.Headers, want, func(a, b kafka.Header) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }) {
			t.Fatalf("headers of %+v:\n%q, want\n%q", c, rec.Headers, want)
		}
	}
}
