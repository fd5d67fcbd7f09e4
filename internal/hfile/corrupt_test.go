package hfile

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
)

// outcome is what became of a damaged file.
type outcome int

const (
	refused  outcome = iota // with an error
	harmless                // every cell came, no other
	wrong                   // a cell that is not in the file, or an end before the last without an error
)

// try reads a damaged file whose cells are right, whole and in two ranges.
func try(t *testing.T, b []byte, right [][]byte, o Options) outcome {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)), o)
	if err != nil {
		known(t, err)
		return refused
	}
	middle := f.Meta().FirstRow
	if rows, err := f.SplitRows(2); err != nil {
		known(t, err)
		return refused
	} else if len(rows) == 1 {
		middle = rows[0]
	}
	worst := refused
	n, err := compare(f, nil, nil, right)
	switch {
	case n < 0 || err == nil && n != len(right):
		return wrong
	case err == nil:
		worst = harmless
	default:
		known(t, err)
	}
	before, err := compare(f, nil, middle, right)
	if err != nil || before < 0 {
		if before < 0 {
			return wrong
		}
		known(t, err)
		return worst
	}
	behind, err := compare(f, middle, nil, right[before:])
	switch {
	case behind < 0 || err == nil && before+behind != len(right):
		return wrong
	case err != nil:
		known(t, err)
	}
	return worst
}

// compare says how many cells of a range are as they are to be; -1: one is not.
func compare(f *File, start, stop []byte, right [][]byte) (int, error) {
	n := 0
	err := scan(f, start, stop, func(c *Cell) {
		if n >= 0 && n < len(right) && bytes.Equal(appendCell(nil, c), right[n]) {
			n++
		} else {
			n = -1
		}
	})
	return n, err
}

// known sees that an error is one of those that say what to do.
func known(t *testing.T, err error) {
	t.Helper()
	var corrupt *CorruptError
	var unsupported *UnsupportedError
	if !errors.As(err, &corrupt) && !errors.As(err, &unsupported) {
		t.Errorf("an error of no kind: %v", err)
	}
}

// TestBitFlips: no cell comes out of a file with a damaged bit that is not in it, and none is left out unseen.
func TestBitFlips(t *testing.T) {
	for _, s := range sums(t) {
		if s.Name == "fastdiff-none.hfile" {
			continue // without checksums
		}
		good := read(t, s.Name)
		right := all(t, open(t, good, Options{}), nil, nil)
		trailer := len(good) - trailerSizeV3
		if s.Name == "hbase1-v2-fastdiff-gz.hfile" {
			trailer = len(good) - trailerSizeV2
		}
		bits := rand.New(rand.NewPCG(1, 2)).Perm(8 * len(good))[:200]
		for bit := range 8 * 130 { // of the trailer's message
			bits = append(bits, 8*trailer+bit)
		}
		for bit := 8 * (len(good) - 4); bit < 8*len(good); bit++ { // of the version
			bits = append(bits, bit)
		}
		if os.Getenv("TORTURE") == "1" && len(good) < 20000 {
			bits = bits[:0]
			for bit := range 8 * len(good) {
				bits = append(bits, bit)
			}
		}
		counts := map[outcome]int{}
		b := bytes.Clone(good)
		for _, bit := range bits {
			b[bit/8] ^= 1 << (bit % 8)
			got := try(t, b, right, Options{Name: s.Name})
			if counts[got]++; got == wrong {
				t.Errorf("%s: bit %d of byte %d of %d", s.Name, bit%8, bit/8, len(b))
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
		// Harmless is what nothing is taken from: bloom filters, the meta index, the trailer's sizes.
		t.Logf("%s: %d bits: %d refused, %d harmless", s.Name, len(bits), counts[refused], counts[harmless])
		if counts[refused] < counts[harmless] {
			t.Errorf("%s: only %d of %d were seen", s.Name, counts[refused], len(bits))
		}
	}
}

// TestBitFlipsUnverified: without checksums a damaged file can give wrong cells, which shows that TestBitFlips sees them, but
// nothing else.
func TestBitFlipsUnverified(t *testing.T) {
	seen := 0
	for _, s := range sums(t) {
		good := read(t, s.Name)
		right := all(t, open(t, good, Options{}), nil, nil)
		b := bytes.Clone(good)
		for _, bit := range rand.New(rand.NewPCG(3, 4)).Perm(8 * len(good))[:300] {
			b[bit/8] ^= 1 << (bit % 8)
			if try(t, b, right, Options{unverified: true, MaxBlock: 1 << 20}) == wrong {
				seen++
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
	if seen == 0 {
		t.Error("no wrong cell without checksums")
	}
}

// TestTruncations: no part of a file is taken for the whole.
func TestTruncations(t *testing.T) {
	for _, s := range sums(t) {
		good := read(t, s.Name)
		step := 1
		if len(good) > 20000 {
			step = 37
		}
		for n := 0; n < len(good); n += step {
			if _, err := Open(bytes.NewReader(good[:n]), int64(n), Options{}); err == nil {
				t.Fatalf("%s: %d of %d bytes were opened", s.Name, n, len(good))
			} else {
				known(t, err)
			}
			// whose size is said to be what it was
			if _, err := Open(bytes.NewReader(good[:n]), int64(len(good)), Options{}); err == nil {
				t.Fatalf("%s: the first %d of %d bytes were opened", s.Name, n, len(good))
			}
		}
	}
}

// TestMissingBlocks: a file out of which a piece in the middle was taken does not go unseen, though every block that is there is whole.
func TestMissingBlocks(t *testing.T) {
	good := read(t, "deep-index.hfile")
	f := open(t, good, Options{})
	w, err := f.walk(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var offsets []int64
	var b block
	for {
		ok, err := w.next(&b)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		offsets = append(offsets, b.offset)
	}
	right := all(t, f, nil, nil)
	for i := 1; i < len(offsets)-1; i += 17 {
		bad := bytes.Clone(good)
		// the block's place is taken by a copy of the one before, as far as it goes
		copy(bad[offsets[i]:], good[offsets[i-1]:offsets[i]])
		if got := try(t, bad, right, Options{}); got != refused {
			t.Errorf("block %d: %d", i, got)
		}
	}
}
