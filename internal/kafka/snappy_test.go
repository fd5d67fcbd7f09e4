package kafka

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/segmentio/kafka-go/compress"
)

// mixed is n bytes, half of them random.
func mixed(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{9}).Read(b[:n/2])
	return b
}

// TestSnappyIsKafkas: what is written here is read by kafka-go, and the other way round, behind what stands there already.
func TestSnappyIsKafkas(t *testing.T) {
	codec := compress.Snappy.Codec()
	for _, n := range []int{0, 1, snappyBlock - 1, snappyBlock, snappyBlock + 1, 5*snappyBlock + 17} {
		plain := mixed(n)
		packed := appendSnappy([]byte("before"), plain)
		if !bytes.HasPrefix(packed, []byte("before")) {
			t.Fatalf("%d bytes: what stood there is gone", n)
		}
		packed = packed[len("before"):]
		if n > 0 {
			r := codec.NewReader(bytes.NewReader(packed))
			var got bytes.Buffer
			if _, err := got.ReadFrom(r); err != nil || !bytes.Equal(got.Bytes(), plain) {
				t.Errorf("%d bytes: kafka-go reads %d bytes, %v", n, got.Len(), err)
			}
			r.Close()
		}
		var theirs bytes.Buffer
		w := codec.NewWriter(&theirs)
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{"ours": packed, "kafka-go's": theirs.Bytes(), "one block": s2.EncodeSnappy(nil, plain)} {
			if len(b) == 0 {
				continue
			}
			got, err := appendUnsnapped([]byte("before"), b, n)
			if err != nil || !bytes.Equal(got, append([]byte("before"), plain...)) {
				t.Errorf("%d bytes, %s: %d bytes, %v", n, name, len(got), err)
			}
			if n > 0 {
				if _, err := appendUnsnapped(nil, b, n-1); err == nil {
					t.Errorf("%d bytes, %s: more than the limit is read", n, name)
				}
			}
		}
	}
}

// TestSnappyBroken: no end of a stream before its own is taken for a whole one unless a block ends there, and no length is believed.
func TestSnappyBroken(t *testing.T) {
	plain := mixed(2*snappyBlock + 100)
	packed := appendSnappy(nil, plain)
	ends := map[int]bool{len(xerialHeader): true}
	for at := len(xerialHeader); at < len(packed); ends[at] = true {
		at += 4 + int(binary.BigEndian.Uint32(packed[at:]))
	}
	for n := range packed {
		got, err := appendUnsnapped(nil, packed[:n], len(plain))
		if err == nil && !ends[n] || !bytes.HasPrefix(plain, got) {
			t.Fatalf("the first %d of %d bytes: %d bytes, %v", n, len(packed), len(got), err)
		}
	}
	lie := append(bytes.Clone(xerialHeader), 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x0f, 0)
	if _, err := appendUnsnapped(nil, lie, 1<<30); err == nil {
		t.Error("a block of 6 bytes that is to hold 4 GiB is read")
	}
	if _, err := appendUnsnapped(nil, append(bytes.Clone(xerialHeader), 0x7f, 0, 0, 0), 1<<30); err == nil {
		t.Error("a block that is longer than the stream is read")
	}
}

func FuzzUnsnapped(f *testing.F) {
	f.Add(appendSnappy(nil, mixed(1000)))
	f.Add(s2.EncodeSnappy(nil, mixed(100)))
	f.Add(xerialHeader)
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 20
		if got, err := appendUnsnapped(nil, b, limit); err == nil && len(got) > limit {
			t.Errorf("%d bytes", len(got))
		}
	})
}
