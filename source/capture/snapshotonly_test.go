package capture

import "testing"

func TestScannedAt(t *testing.T) {
	began := func(ms int64) captured { return tableIn("t", tableState{Captured: true, Began: ms}) }
	for name, tc := range map[string]struct {
		tables  []captured
		want    int64
		unknown string
	}{
		"one":                          {[]captured{began(7)}, 7, ""},
		"the first of several":         {[]captured{began(9), began(7), began(8)}, 7, ""},
		"one captured in another mode": {[]captured{began(9), tableIn("u", tableState{Captured: true})}, 0, "default:u"},
	} {
		if got, unknown := scannedAt(tc.tables); got != tc.want || unknown != tc.unknown {
			t.Errorf("%s: %d, %q; want %d, %q", name, got, unknown, tc.want, tc.unknown)
		}
	}
}
