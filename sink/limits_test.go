package sink

import "testing"

func TestManyPartitionsShareTheMemoryOfAFew(t *testing.T) {
	cfg := Config{BatchRecords: 4000, BatchBytes: 4 << 20, FetchMaxBytes: 1 << 20}
	full := limits{4000, 4 << 20, 1 << 20, recentCells}
	for n, want := range map[int]limits{
		0: full, 1: full, 8: full,
		10:     {3200, (4 << 20) * 8 / 10, (1 << 20) * 8 / 10, recentCells * 8 / 10 / 16 * 16},
		32:     {1000, 1 << 20, 256 << 10, recentCells / 4},
		10_000: {leastRecords, leastBytes, leastBytes, leastRecentCells},
	} {
		if got := cfg.limitsOf(n); got != want {
			t.Errorf("%d partitions: each has %+v, want %+v", n, got, want)
		}
	}
	small := Config{BatchRecords: 10, BatchBytes: 1024, FetchMaxBytes: 2048}
	if got, want := small.limitsOf(10_000), (limits{10, 1024, 2048, leastRecentCells}); got != want {
		t.Errorf("configured small: %+v, want %+v", got, want)
	}
}
