package hfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// pack compresses one part.
func pack(t testing.TB, c Compression, b []byte) []byte {
	t.Helper()
	switch c {
	case GZ:
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	case Snappy:
		return s2.EncodeSnappy(nil, b)
	case LZ4:
		out := make([]byte, lz4.CompressBlockBound(len(b)))
		var z lz4.Compressor
		n, err := z.CompressBlock(b, out)
		if err != nil {
			t.Fatal(err)
		}
		return out[:n]
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// framed is b in Hadoop's framing, in groups of two parts of size bytes.
func framed(t testing.TB, c Compression, b []byte, size int) []byte {
	t.Helper()
	var out []byte
	for len(b) > 0 {
		group := b[:min(2*size, len(b))]
		b = b[len(group):]
		out = binary.BigEndian.AppendUint32(out, uint32(len(group)))
		for len(group) > 0 {
			part := pack(t, c, group[:min(size, len(group))])
			group = group[min(size, len(group)):]
			out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
			out = append(out, part...)
		}
	}
	return binary.BigEndian.AppendUint32(out, 0)
}

func TestDecompress(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	raw := make([]byte, 100_000)
	for i := range raw {
		raw[i] = byte('a' + random.IntN(4))
	}
	d := &decompressor{limit: 1 << 20}
	for _, test := range []struct {
		name string
		c    Compression
		src  []byte
	}{
		{"gz", GZ, pack(t, GZ, raw)},
		{"snappy", Snappy, framed(t, Snappy, raw, 7000)},
		{"lz4", LZ4, framed(t, LZ4, raw, 64<<10)},
		{"zstd", ZSTD, framed(t, ZSTD, raw, 30000)},
		{"zstd as it is", ZSTD, pack(t, ZSTD, raw)},
	} {
		dst := make([]byte, len(raw))
		if err := d.decompress(test.c, dst, test.src); err != nil || !bytes.Equal(dst, raw) {
			t.Errorf("%s: %v", test.name, err)
		}
		for _, n := range []int{len(raw) - 1, len(raw) + 1, 0} {
			if err := d.decompress(test.c, make([]byte, n), test.src); err == nil {
				t.Errorf("%s: %d bytes are said to be %d", test.name, len(raw), n)
			}
		}
		for n := 0; n < len(test.src)-4; n += 1 + len(test.src)/50 {
			if err := d.decompress(test.c, dst, test.src[:n]); err == nil {
				t.Errorf("%s: cut off at %d of %d", test.name, n, len(test.src))
			}
		}
		if err := d.decompress(test.c, dst, append(bytes.Clone(test.src), 0, 0, 0, 1, 0)); err == nil {
			t.Errorf("%s: with bytes behind it", test.name)
		}
	}
	for _, c := range []Compression{Snappy, LZ4, ZSTD} {
		if err := d.decompress(c, nil, []byte{0, 0, 0, 0}); err != nil {
			t.Errorf("%s: nothing: %v", c, err)
		}
	}
	// A frame of one byte that names dictionary 5.
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x21, 5, 1, 9, 0, 0, 'a'}
	if err := d.decompress(ZSTD, make([]byte, 1), frame); !errors.Is(err, errDictionary) {
		t.Errorf("dictionary: %v", err)
	}
}

// TestDictionaryIsNamed: a file whose blocks need a ZSTD dictionary is not called damaged.
func TestDictionaryIsNamed(t *testing.T) {
	f := &File{o: Options{MaxBlock: 100, unverified: true}, layout: layout{compression: ZSTD}}
	b := &block{header: header{magic: magicData, raw: 1, body: headerSize + 11}}
	b.bytes = append(make([]byte, headerSize), 0x28, 0xb5, 0x2f, 0xfd, 0x21, 5, 1, 9, 0, 0, 'a')
	err := f.unpack(b, &decompressor{limit: 100})
	var unsupported *UnsupportedError
	if !errors.As(err, &unsupported) {
		t.Error(err)
	}
}
