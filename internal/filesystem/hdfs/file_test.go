package hdfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"testing"
)

// served is a file whose streams break after some bytes.
type served struct {
	content       []byte
	breaks        int // bytes until a stream breaks; 0: never
	gone          bool
	opened, seeks int
}

func (s *served) open() (stream, error) {
	s.opened++
	if s.gone {
		return nil, fs.ErrNotExist
	}
	return &served1{served: s, Reader: bytes.NewReader(s.content), left: s.breaks}, nil
}

type served1 struct {
	*served
	*bytes.Reader
	left int
}

func (r *served1) Seek(off int64, whence int) (int64, error) {
	r.seeks++
	return r.Reader.Seek(off, whence)
}

var errBroken = errors.New("the connection is broken")

func (r *served1) Read(b []byte) (int, error) {
	if r.breaks > 0 {
		if r.left == 0 {
			return 0, errBroken
		}
		b = b[:min(len(b), r.left)]
		r.left -= len(b)
	}
	return r.Reader.Read(b)
}

func (r *served1) Close() error { return nil }

func content(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func open(t *testing.T, s *served) *file {
	t.Helper()
	r, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	return newFile(s.open, r, int64(len(s.content)), 0)
}

func TestFileReadInOrderUsesOneStream(t *testing.T) {
	s := &served{content: content(3<<20 + 17)}
	f := open(t, s)
	var got []byte
	b := make([]byte, 70_001)
	for off := int64(0); ; {
		n, err := f.ReadAt(b, off)
		got, off = append(got, b[:n]...), off+int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, s.content) {
		t.Fatalf("read %d bytes, not the %d that there are", len(got), len(s.content))
	}
	if s.opened != 1 || s.seeks != 0 {
		t.Errorf("opened %d times, sought %d times; want one stream", s.opened, s.seeks)
	}
}

func TestFileReadAnywhereOverBrokenStreams(t *testing.T) {
	s := &served{content: content(1 << 20), breaks: 700_000}
	f := open(t, s)
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		off, n := r.IntN(len(s.content)), r.IntN(100_000)
		b := make([]byte, n)
		got, err := f.ReadAt(b, int64(off))
		want := s.content[off:min(off+n, len(s.content))]
		if err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(b[:got], want) {
			t.Fatalf("%d bytes at %d: got %d: %v", n, off, got, err)
		}
	}
	if s.opened < 2 {
		t.Error("no stream broke")
	}
}

func TestFileThatStaysBroken(t *testing.T) {
	s := &served{content: content(1 << 20), breaks: 10}
	f := open(t, s)
	if _, err := f.ReadAt(make([]byte, 100), 0); !errors.Is(err, errBroken) {
		t.Fatalf("%v, want the stream's error", err)
	}
}

func TestFileThatWasMoved(t *testing.T) {
	s := &served{content: content(1 << 20), breaks: 10}
	f := open(t, s)
	s.gone = true
	if _, err := f.ReadAt(make([]byte, 100), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%v, want fs.ErrNotExist", err)
	}
	if s.opened != 2 {
		t.Errorf("opened %d times: asking again for what is not there", s.opened)
	}
}

func TestClosedFile(t *testing.T) {
	f := open(t, &served{content: content(100)})
	f.Close()
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("%v, want fs.ErrClosed", err)
	}
}
