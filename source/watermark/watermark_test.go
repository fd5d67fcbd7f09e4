package watermark

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/hbase/admin"
)

func TestTable(t *testing.T) {
	for servers, want := range map[int]int{0: 2, 1: 2, 3: 6, 1000: maxRegions} {
		table, splits := Table("p_1", servers)
		if table.FullName() != TableName("p_1") || !IsTable(table.FullName()) || len(splits)+1 != want {
			t.Errorf("%d servers: %s with %d regions, want %d", servers, table.FullName(), len(splits)+1, want)
		}
		for i, s := range splits {
			end := []byte(nil)
			if i+1 < len(splits) {
				end = splits[i+1]
			}
			row := rowOf(admin.Region{Start: s, End: end}, []byte("host,1,1 x"))
			if bytes.Compare(row, s) <= 0 || end != nil && bytes.Compare(row, end) >= 0 {
				t.Errorf("row %q is outside of its region, %q to %q", row, s, end)
			}
		}
		if table.Families[0].Name != Family || table.Families[0].Scope() != 1 {
			t.Errorf("families %+v", table.Families)
		}
	}
	if IsTable("default:orders") || IsTable("ns:waltap_heartbeat_x") {
		t.Error("other tables are taken for heartbeat tables")
	}
}

// shown records what a Watermark shows.
type shown struct {
	at     []int64
	waits  string
	reason string
}

func (s *shown) Watermark(ms int64, _ bool)       { s.at = append(s.at, ms) }
func (s *shown) WatermarkWaits(text string)       { s.waits = text }
func (s *shown) WatermarkEstimated(reason string) { s.reason = reason }

// fixed is a Watermark without a cluster.
func fixed(end time.Time) (*Watermark, *shown, *[]checkpoint.Watermark) {
	s, published := &shown{}, &[]checkpoint.Watermark{}
	w := New(Config{
		Connector: "c", PeerID: "p", Mode: Heartbeat, Last: 5000, Margin: time.Second, End: end, Stats: s, Log: slog.New(slog.DiscardHandler),
		Offsets: func(context.Context) (map[string]map[int32]int64, error) {
			return map[string]map[int32]int64{"t": {0: 7}}, nil
		},
		Publish: func(_ context.Context, p checkpoint.Watermark) error {
			*published = append(*published, p)
			return nil
		},
	})
	return w, s, published
}

func TestPublish(t *testing.T) {
	w, s, published := fixed(time.UnixMilli(6000))
	if w.Late() != 4000 {
		t.Errorf("late is %d, want the last watermark less the margin", w.Late())
	}
	for _, c := range []struct {
		at        int64
		estimated bool
		moves     bool
		passed    bool
	}{
		{0, false, false, false},
		{4000, false, false, false}, // below the one of the run before
		{5000, true, false, false},
		{5500, false, true, false},
		{5500, true, false, false},
		{6900, true, true, false},
		{6800, false, false, false}, // a proof behind an estimate
		{7000, false, true, true},
	} {
		n := len(*published)
		p, err := w.publish(t.Context(), c.at, c.estimated)
		if err != nil || (p != nil) != c.moves || len(*published)-n != map[bool]int{true: 1}[c.moves] {
			t.Errorf("%+v: %+v, %v", c, p, err)
		}
		if p != nil && (p.Time != c.at || p.Connector != "c" || p.Estimated != c.estimated || p.Offsets["t"][0] != 7 || w.passed(p.Time) != c.passed || w.Late() != c.at-1000) {
			t.Errorf("%+v: published %+v, late %d", c, p, w.Late())
		}
	}
	if len(s.at) != 3 {
		t.Errorf("shown %v", s.at)
	}
	w.cfg.Offsets = func(context.Context) (map[string]map[int32]int64, error) { return nil, errors.New("no leader") }
	if p, err := w.publish(t.Context(), 9000, false); p != nil || err == nil || !strings.Contains(err.Error(), "no leader") || w.Late() != 6000 {
		t.Errorf("without end offsets: %+v, %v", p, err)
	}
}

func TestOnlyThisRunsHeartbeatsCount(t *testing.T) {
	w, _, _ := fixed(time.Time{})
	n := w.tracker.Sent(a1, "r", 10)
	b := Beat{Run: "another", Server: a1, Region: "r", N: n, Sent: 10}
	w.Acknowledged(w.Begin(), [][]byte{[]byte(b.String()), []byte("nonsense")})
	if got := w.tracker.servers[a1].beats[0].returned; got != 0 {
		t.Errorf("another run's heartbeat came back as ours, at %d", got)
	}
	b.Run = w.run
	w.Acknowledged(w.Begin(), [][]byte{[]byte(b.String())})
	if w.tracker.servers[a1].beats[0].returned == 0 || w.passed(1<<60) {
		t.Error("ours did not come back, or an end time passed that there is not")
	}
}
