package hfile

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestDictionary compares the dictionary with a plain list of what was used last.
func TestDictionary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d dictionary
		slots := make([][]byte, 0, dictionarySize)
		var used []int // slots, the last used at the end
		touch := func(i int) {
			used = append(slices.DeleteFunc(used, func(x int) bool { return x == i }), i)
		}
		for step := range rapid.IntRange(1, 600).Draw(t, "steps") {
			if len(slots) == 0 || rapid.IntRange(0, 3).Draw(t, "add") > 0 {
				tag := []byte{byte(step), byte(step >> 8)}
				d.add(tag)
				i := len(slots)
				if i == dictionarySize {
					i = used[0]
					slots[i] = tag
				} else {
					slots = append(slots, tag)
				}
				touch(i)
				continue
			}
			i := rapid.IntRange(0, dictionarySize+2).Draw(t, "index")
			got := d.get(i)
			if i >= len(slots) {
				if got != nil {
					t.Fatalf("entry %d of %d is %x", i, len(slots), got)
				}
				continue
			}
			if !bytes.Equal(got, slots[i]) {
				t.Fatalf("entry %d is %x, want %x", i, got, slots[i])
			}
			touch(i)
		}
		if d.add(nil); d.n != len(slots) {
			t.Fatal("an empty tag was kept")
		}
	})
}

func TestVlong(t *testing.T) {
	for _, test := range []struct {
		b []byte
		v int64
		n int
	}{
		{[]byte{0}, 0, 1},
		{[]byte{0x7f}, 127, 1},
		{[]byte{0x90}, -112, 1},
		{[]byte{0x8f, 0x80}, 128, 2},
		{[]byte{0x8e, 0x03, 0x09, 0xff}, 777, 3},
		{[]byte{0x87, 0xff}, -256, 2},
		{[]byte{0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 1<<63 - 1, 9},
		{[]byte{0x80, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -1 << 63, 9},
		{[]byte{0x8e, 0x03}, 0, 0},
		{nil, 0, 0},
	} {
		if v, n := vlong(test.b); v != test.v || n != test.n {
			t.Errorf("%x: %d of %d bytes, want %d of %d", test.b, v, n, test.v, test.n)
		}
	}
}

func TestLength(t *testing.T) {
	for _, test := range []struct {
		b []byte
		v int
	}{
		{[]byte{0}, 0}, {[]byte{0x7f}, 127}, {[]byte{0x80, 1}, 128}, {[]byte{0xff, 0xff, 0xff, 0xff, 0x07}, 1<<31 - 1},
		{[]byte{0xff, 0xff, 0xff, 0xff, 0x08}, -1}, {[]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0}, -1}, {[]byte{0x80}, -1}, {nil, -1},
	} {
		d := cells{b: test.b}
		if v := d.length(); v != test.v || v >= 0 && d.p != len(test.b) {
			t.Errorf("%x: %d, %d bytes, want %d", test.b, v, d.p, test.v)
		}
	}
}
