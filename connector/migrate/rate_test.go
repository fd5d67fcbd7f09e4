package migrate

import (
	"testing"
	"time"

	"github.com/waltap/waltap/source/capture"
)

func TestScanRate(t *testing.T) {
	st := &State{Started: 100_000, Tables: []Table{{Source: "default:a"}, {Source: "default:b"}}}
	for _, c := range []struct {
		name string
		kept *capture.Kept
		now  int64
		want int64
	}{
		{"nothing is kept", nil, 200_000, 0},
		{"of all of it", &capture.Kept{Tables: map[string]capture.KeptTable{"default:a": {Captured: true, Scanned: 110_000, Bytes: 1000}, "default:b": {Captured: true, Scanned: 120_000, Bytes: 3000}}}, 900_000, 200},
		{"while it runs", &capture.Kept{Tables: map[string]capture.KeptTable{"default:a": {Captured: true, Scanned: 110_000, Bytes: 1000}, "default:b": {Bytes: 1000}}}, 140_000, 50},
		{"too short to tell", &capture.Kept{Tables: map[string]capture.KeptTable{"default:a": {Captured: true, Scanned: 101_000, Bytes: 1000}, "default:b": {Captured: true, Scanned: 101_000}}}, 900_000, 0},
		{"no table of the wave", &capture.Kept{Tables: map[string]capture.KeptTable{"default:c": {Bytes: 1000}}}, 50_000, 0},
	} {
		if got := scanRate(st, c.kept, time.UnixMilli(c.now)); got != c.want {
			t.Errorf("%s: %d bytes/s, want %d", c.name, got, c.want)
		}
	}
}
