package samples

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/status"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// said is a herder whose connectors say what a test puts there.
type said struct {
	herder.Herder
	progress map[string][]herder.Progress
	err      error
}

func (s *said) Connectors(context.Context) ([]string, error) {
	var names []string
	for name := range s.progress {
		names = append(names, name)
	}
	return names, s.err
}

func (s *said) Progress(_ context.Context, name string) ([]herder.Progress, error) {
	return s.progress[name], s.err
}

var start = time.UnixMilli(1_790_000_000_000)

func worker(id string, at time.Time, records, rows int64) herder.Progress {
	v := status.ConnectorView{CountersView: status.CountersView{Records: records, Bytes: records * 10}, Snapshot: &status.SnapshotView{Rows: rows}}
	return herder.Progress{WorkerID: id, At: at.UnixMilli(), Status: v}
}

func lag(p herder.Progress, ms, records int64, mark time.Time) herder.Progress {
	p.Status.LagMS, p.Status.LagRecords = &ms, records
	p.Status.Watermark = &status.WatermarkView{Time: &mark}
	return p
}

func TestRates(t *testing.T) {
	s := &said{}
	k := New(s)
	at := start
	take := func(progress ...herder.Progress) Sample {
		t.Helper()
		s.progress = map[string][]herder.Progress{"c": progress}
		k.take(t.Context(), at)
		of := k.Since(at.UnixMilli()-1, false)
		if len(of) != 1 || of[0].Connector != "c" || len(of[0].Samples) != 1 {
			t.Fatalf("%+v", of)
		}
		return of[0].Samples[0]
	}
	if got := take(worker("a", at, 100, 50)); got != (Sample{At: at.UnixMilli(), LagMS: -1, WatermarkLagMS: -1}) {
		t.Errorf("the first: %+v", got)
	}
	at = at.Add(2 * time.Second)
	a, b := lag(worker("a", at, 300, 60), 40, 5, at.Add(-3*time.Second)), lag(worker("b", at, 1000, 0), 70, 6, at.Add(-time.Second))
	want := Sample{At: at.UnixMilli(), RecordsPerSecond: 100, BytesPerSecond: 1000, RowsPerSecond: 5, LagMS: 70, LagRecords: 11, WatermarkLagMS: 1000}
	if got := take(a, b); got != want {
		t.Errorf("two workers, one of them new: %+v, want %+v", got, want)
	}
	at = at.Add(2 * time.Second)
	if got := take(a, worker("b", at, 1500, 0)); got.RecordsPerSecond != 100+250 {
		t.Errorf("one has said nothing since, its rate stays: %+v", got)
	}
	at = at.Add(2 * time.Second)
	if got := take(a, worker("b", at, 10, 0)); got.RecordsPerSecond != 100 {
		t.Errorf("one has begun anew: %+v", got)
	}
	at = at.Add(fresh)
	if got := take(a, worker("b", at, 10, 0)); got.RecordsPerSecond != 0 {
		t.Errorf("one is silent for long: %+v", got)
	}
	at = at.Add(Step)
	if got := take(); got != (Sample{At: at.UnixMilli(), LagMS: -1, WatermarkLagMS: -1}) {
		t.Errorf("no worker has it: %+v", got)
	}
}

// What is kept is bounded, gone connectors are forgotten, and an outage is a gap.
func TestBounds(t *testing.T) {
	s := &said{progress: map[string][]herder.Progress{"c": nil, "d": nil}}
	k := New(s)
	const n = Merged*(Past+3) + 7
	for i := range n {
		at := start.Add(time.Duration(i) * Step)
		s.progress["c"] = []herder.Progress{lag(worker("a", at, int64(i)*20, 0), int64(i), 0, at)}
		k.take(t.Context(), at)
	}
	all := k.Since(0, false)
	if len(all) != 1 || len(all[0].Samples) != Recent {
		t.Fatalf("%d connectors; want c alone with %d samples", len(all), Recent)
	}
	end := start.Add((n - 1) * Step).UnixMilli()
	if last := all[0].Samples[Recent-1]; last.At != end || last.RecordsPerSecond != 10 {
		t.Errorf("the latest: %+v", last)
	}
	past := k.Since(0, true)[0].Samples
	if len(past) != Past || past[0].LagMS != 4*Merged-1 || past[0].RecordsPerSecond != 10 {
		t.Errorf("%d merged samples from %+v", len(past), past[0])
	}
	if got := k.Since(end-1, false)[0].Samples; len(got) != 1 {
		t.Errorf("since the last but one: %+v", got)
	}
	if got := k.Since(end, false)[0].Samples; got == nil || len(got) != 0 {
		t.Errorf("since the last: %+v", got)
	}
	s.err = errors.New("Kafka is away")
	k.take(t.Context(), start.Add(n*Step))
	if got := k.Since(end, false); len(got) != 1 || len(got[0].Samples) != 0 {
		t.Errorf("while nobody answers: %+v", got)
	}
	s.err, s.progress = nil, nil
	k.take(t.Context(), start.Add(n*Step))
	if got := k.Since(0, false); len(got) != 0 {
		t.Errorf("of a deleted connector: %d", len(got))
	}
}

func TestRunTakesSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &said{progress: map[string][]herder.Progress{"c": {worker("a", start, 1, 1)}}}
		k := New(s)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { k.Run(ctx); close(ended) }()
		time.Sleep(10*Step + Step/2)
		cancel()
		<-ended
		if got := k.Since(0, false); len(got) != 1 || len(got[0].Samples) != 11 {
			t.Errorf("%+v", got)
		}
	})
}
