package cell

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReader(t *testing.T) {
	raw := readFile(t, "testdata/replicate-2.6.4-tags.cells.bin")
	want := recordedEdits(ttlTag...)
	var arena []byte
	var got []Cell
	r := NewReader(oneByteReader{bytes.NewReader(raw)}, KeyValueCodecWithTags, int64(len(raw)))
	for {
		var k Cell
		var err error
		if arena, err = r.Next(&k, arena); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, k)
	}
	if diff := cmp.Diff(want, got, sameCells); diff != "" {
		t.Errorf("cells differ (-want +got):\n%s", diff)
	}
	if !bytes.Equal(arena, raw) {
		t.Errorf("the arena is not the cell block: %x", arena)
	}
	if r.Left() != 0 {
		t.Errorf("%d bytes left", r.Left())
	}
}

// oneByteReader returns one byte at a time.
type oneByteReader struct{ r io.Reader }

func (r oneByteReader) Read(p []byte) (int, error) { return r.r.Read(p[:min(1, len(p))]) }

func TestReaderErrors(t *testing.T) {
	k := mk("row", "f", "q", 1, Put, "value")
	one := KeyValueCodec.Append(nil, &k)
	size := int64(len(one))
	for _, test := range []struct {
		name  string
		in    []byte
		limit int64
		cells int
		want  error  // io.EOF or nil
		text  string // part of the error when want is nil
	}{
		{"limit ends the block", append(bytes.Clone(one), one...), size, 1, io.EOF, ""},
		{"stream ends between cells", one, 2 * size, 1, io.EOF, ""},
		{"stream ends in a length", one[:2], size, 0, nil, "unexpected EOF"},
		{"stream ends in a cell", one[:size-1], size, 0, nil, "unexpected EOF"},
		{"limit ends in a length", append(bytes.Clone(one), one...), size + 3, 1, nil, "3 bytes left"},
		{"length beyond the limit", one, size - 1, 0, nil, "bytes are left of the cell block"},
		{"2 GiB claimed", unhex(t, "7fffffff"), math.MaxInt64, 0, nil, "unexpected EOF"},
		{"negative", unhex(t, "80000000"), math.MaxInt64, 0, nil, "length -2147483648"},
		{"no limit", one, 0, 0, io.EOF, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewReader(bytes.NewReader(test.in), KeyValueCodec, test.limit)
			var got Cell
			var arena []byte
			for range test.cells {
				var err error
				if arena, err = r.Next(&got, arena); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // an error is final
				after, err := r.Next(&got, arena)
				if test.want != nil && err != test.want || test.want == nil && (err == nil || !strings.Contains(err.Error(), test.text)) {
					t.Errorf("got %v, want %v%s", err, test.want, test.text)
				}
				if len(after) != len(arena) {
					t.Errorf("the arena has %d bytes, had %d", len(after), len(arena))
				}
			}
		})
	}
}

func TestAppendFromAllocatesAsBytesArrive(t *testing.T) {
	got, err := AppendFrom(nil, strings.NewReader("short"), math.MaxInt32)
	if err != io.ErrUnexpectedEOF || string(got) != "short" {
		t.Errorf("got %q, %v", got, err)
	}
	if cap(got) > 2*growStep {
		t.Errorf("a claim of 2 GiB that brought 5 bytes allocated %d", cap(got))
	}

	long := bytes.Repeat([]byte("0123456789"), 100_000)
	got, err = AppendFrom([]byte("head"), bytes.NewReader(long), int64(len(long)))
	if err != nil || !bytes.Equal(got, append([]byte("head"), long...)) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(long)+4)
	}
}
