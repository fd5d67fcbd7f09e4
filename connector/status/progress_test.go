package status

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sharedBuffer is written by the progress and read by the test.
type sharedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sharedBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// take returns what was written since it was called last.
func (s *sharedBuffer) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.b.String()
	s.b.Reset()
	return text
}

func TestProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewConnector("orders-source", "HBaseSource")
		var out sharedBuffer
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- NewProgress(&Process{Connectors: []*Connector{c}}, &out).Run(ctx) }()
		// after lets time pass and returns the lines written by then.
		after := func(d time.Duration) string {
			time.Sleep(d)
			synctest.Wait()
			return out.take()
		}
		expect := func(when, got, want string) {
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", when, d)
			}
		}
		expect("at once", after(time.Millisecond), "orders-source STARTING 0 records/s, 0.0 MB/s, total 0 records\n")
		expect("idle", after(9*time.Second), "")
		expect("idle for 10 s", after(time.Second), "orders-source STARTING 0 records/s, 0.0 MB/s, total 0 records\n")

		c.Set(Snapshot, "scanning")
		c.SnapshotShardsDone.Store(3)
		c.SnapshotShardsTotal.Store(8)
		c.SnapshotRows.Store(120_034)
		c.Add(12_345, 0, 10_250_000, 1_000)
		c.LagMillis.Store(1_249)
		expect("scan", after(time.Second), "orders-source SNAPSHOT 12 345 records/s, 10.2 MB/s, lag 1.2 s, shards 3/8 rows 120 034, total 12 345 records, scanning\n")

		c.Set(Running, "")
		c.Add(1_000_000, 0, 0, 1_000)
		c.Replays.Store(1_500)
		c.Retries.Store(1)
		expect("stream", after(time.Second), "orders-source RUNNING 1 000 000 records/s, 0.0 MB/s, lag 1.2 s, total 1 012 345 records, 1 500 replays, 1 retries\n")
		expect("nothing changed", after(time.Second), "")

		c.Add(5, 0, 0, 1_000)
		time.Sleep(500 * time.Millisecond)
		c.Fail(errors.New("produce: broken\ntwice"))
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		expect("at the end", after(0), "orders-source FAILED 10 records/s, 0.0 MB/s, lag 1.2 s, total 1 012 350 records, 1 500 replays, 1 retries, produce: broken; twice\n")
	})
}

func TestProgressLog(t *testing.T) {
	p := example()
	p.Connectors[1].Fail(errors.New("gone"))
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	if err := NewProgressLog(p, log).step(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	const want = `{"level":"INFO","msg":"progress","connector":"orders-source","state":"SNAPSHOT","records":120,"records_per_second":0,"bytes_per_second":0,"lag_ms":1234,"shards_done":3,"shards_total":8,"rows":120034,"snapshot_bytes":5000,"seconds_left":0,"retries":2,"phase":"scanning default:orders"}
{"level":"ERROR","msg":"progress","connector":"orders-copy","state":"FAILED","records":0,"records_per_second":0,"bytes_per_second":0,"error":"gone"}
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestProgressWriteError(t *testing.T) {
	err := NewProgress(example(), brokenWriter{}).Run(t.Context())
	if err == nil || err.Error() != "write progress: broken pipe" {
		t.Errorf("%v", err)
	}
}

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{"a": "a", "a\nb": "a; b", "topics; create them:\n1\n2\n3\n4\n5": "topics; create them: …"} {
		if got := oneLine(text); got != want {
			t.Errorf("oneLine(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1 000", -1000: "-1 000", 120034: "120 034", 1234567: "1 234 567", -12: "-12"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %q, want %q", n, got, want)
		}
	}
	if strings.Contains(grouped(-100), " ") {
		t.Error("a sign counts as a digit")
	}
}
