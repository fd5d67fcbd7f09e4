package watermark

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
)

func TestMiddle(t *testing.T) {
	for _, c := range []struct{ start, end, want string }{
		{"", "", "\x80"},
		{"\x80", "", "\xc0"},
		{"", "\x01", "\x00\x80"},
		{"\x40", "\x41", "\x40\x80"},
		{"ab", "ac", "ab\x80"},
		{"a", "a\x00\x00\x01", ""},
		{"abcd1", "abcd2", ""},
	} {
		r := admin.Region{Start: []byte(c.start), End: []byte(c.end)}
		at, width := middle(r)
		if string(at) != c.want || (width == 0) != (c.want == "") {
			t.Errorf("%q to %q: %q, %d wide; want %q", c.start, c.end, at, width, c.want)
		}
		if width > 0 && (bytes.Compare(at, r.Start) <= 0 || len(r.End) > 0 && bytes.Compare(at, r.End) >= 0) {
			t.Errorf("%q to %q: %q lies outside", c.start, c.end, at)
		}
	}
}

// TestEachServerGetsARegion lets servers join, one after the other and several at once, more than there are regions.
func TestEachServerGetsARegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(1)
		p := newPlacement(Config{Cluster: c, Table: c.table, Log: discard})
		for _, n := range []int{1, 2, 3, 9} {
			for len(c.live) < n {
				c.join()
			}
			began := time.Now()
			for {
				p.serve(c.live)
				p.look(t.Context())
				if bare := without(p.regions, c.live); len(bare) == 0 {
					break
				}
				if time.Since(began) > 5*time.Minute {
					t.Fatalf("%d servers: %v have no region, %s", n, without(p.regions, c.live), p.trouble())
				}
				time.Sleep(time.Second)
			}
			for _, s := range c.live {
				if _, ok := p.region(s); !ok {
					t.Errorf("%d servers: no heartbeats to %s", n, s)
				}
			}
			if c.moves > 0 && time.Since(began) < bareFor {
				t.Error("a region was moved before HBase could give the server one by itself")
			}
		}
		if c.splits == 0 || c.moves != 8 {
			t.Errorf("%d splits, %d moves", c.splits, c.moves)
		}
	})
}

func TestPlacementSaysWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(2)
		p := newPlacement(Config{Cluster: c, Table: c.table, Log: discard})
		p.serve(c.live)
		look := func(want string) {
			t.Helper()
			for range 40 {
				p.look(t.Context())
				if got := p.trouble(); strings.Contains(got, want) && (want != "" || got == "") {
					return
				}
				time.Sleep(time.Second)
			}
			t.Errorf("shown %q, want %q", p.trouble(), want)
		}
		look("")
		c.regionsErr = fmt.Errorf("locate: %w", admin.ErrTableNotFound)
		p.missed()
		time.Sleep(time.Second)
		look("a start of the connector creates it")
		p.look(t.Context()) // it is not read again at once
		if got := p.trouble(); !strings.Contains(got, "a start of the connector creates it") {
			t.Errorf("shown %q at the next look", got)
		}
		c.regionsErr = nil
		look("")
		for i := range c.regions {
			c.regions[i].Offline = true
		}
		p.missed()
		look("is open: enable it")
		for i := range c.regions {
			c.regions[i].Offline = false
		}
		look("")
		c.join()
		c.splitErr = errors.New("no split today")
		c.regions = slices.DeleteFunc(c.regions, func(r admin.Region) bool { return len(r.Start) > 0 })
		c.regions[0].End = nil
		p.serve(c.live)
		p.missed()
		look("none that can be split")
		c.splitErr = nil
		look("")
	})
}
