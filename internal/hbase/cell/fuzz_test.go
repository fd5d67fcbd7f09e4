package cell

import (
	"bytes"
	"encoding/binary"
	"io"
	"reflect"
	"testing"
)

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"replicate-2.6.4-tags", "replicate-2.6.4-notags", "scan-2.6.4-tags"} {
		f.Add(readFile(f, "testdata/"+name+".cells.bin"))
	}
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range []Codec{KeyValueCodec, KeyValueCodecWithTags} {
			fuzzDecode(t, c, b)
		}
	})
}

func fuzzDecode(t *testing.T, c Codec, b []byte) {
	r := NewReader(bytes.NewReader(b), c, int64(len(b)))
	for rest := b; ; {
		var k, streamed Cell
		n, err := c.Decode(rest, &k)
		_, streamErr := r.Next(&streamed, nil)
		if len(rest) == 0 {
			if streamErr != io.EOF {
				t.Fatalf("end of the block: %v", streamErr)
			}
			return
		}
		if (err == nil) != (streamErr == nil) {
			t.Fatalf("Decode says %v, Next says %v", err, streamErr)
		}
		if err != nil {
			return
		}
		if !reflect.DeepEqual(k, streamed) {
			t.Fatalf("Decode and Next differ: %+v, %+v", k, streamed)
		}
		for _, err := range Tags(k.Tags) {
			if err != nil {
				break
			}
		}
		if err := k.Validate(); err != nil {
			t.Fatal(err)
		}
		again := c.Append(nil, &k)
		emptyTags := n == len(again)+2 && binary.BigEndian.Uint16(rest[n-2:]) == 0
		if !bytes.Equal(again, rest[:n]) && !emptyTags {
			t.Fatalf("encoded again %x, was %x", again, rest[:n])
		}
		if len(again) != c.Size(&k) {
			t.Fatalf("Size %d, appended %d", c.Size(&k), len(again))
		}
		rest = rest[n:]
	}
}
