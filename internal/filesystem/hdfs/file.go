package hdfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/colinmarc/hdfs/v2"

	"github.com/waltap/waltap/internal/filesystem"
)

const (
	// minWindow and maxWindow bound what is read at once. A read that does not follow the one before begins small, and each
	// that does doubles it: few requests for a file that is read from its begin to its end, little waste for a look-up.
	minWindow = 64 << 10
	maxWindow = 512 << 10
)

// file reads through a window. One stream of a data node serves reads in ascending order; the client would open a connection
// for each ReadAt, also for one that begins where the last has ended.
type file struct {
	open  func() (stream, error)
	size  int64
	pause time.Duration

	mu     sync.Mutex
	s      stream // nil: to be opened
	at     int64  // of s
	window []byte
	from   int64 // of window
	next   int   // its next size
	closed bool
}

func newFile(open func() (stream, error), s stream, size int64, pause time.Duration) *file {
	return &file{open: open, s: s, size: size, pause: pause, next: minWindow}
}

func (f *file) Size() int64 { return f.size }

// ReadAt fills b, or says why not: io.EOF at the end of the file, fs.ErrNotExist when it was moved and its blocks are not known yet.
func (f *file) ReadAt(b []byte, off int64) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	for n < len(b) {
		at := off + int64(n)
		if at >= f.size {
			return n, io.EOF
		}
		if in := at - f.from; in >= 0 && in < int64(len(f.window)) {
			n += copy(b[n:], f.window[in:])
			continue
		}
		if want := min(int64(len(b)-n), f.size-at); want >= maxWindow {
			if err := f.again(b[n:n+int(want)], at); err != nil {
				return n, err
			}
			n += int(want)
			f.window, f.from = f.window[:0], at+want
			continue
		}
		if err := f.fill(at, len(b)-n); err != nil {
			return n, err
		}
	}
	return n, nil
}

// fill moves the window to off. want bytes are asked for.
func (f *file) fill(off int64, want int) error {
	if off == f.from+int64(len(f.window)) {
		f.next = min(2*f.next, maxWindow)
	} else {
		f.next = minWindow
	}
	size := int(min(int64(max(f.next, min(want, maxWindow))), f.size-off))
	f.window = f.window[:0]
	if cap(f.window) < size {
		f.window = make([]byte, 0, size)
	}
	if err := f.again(f.window[:size], off); err != nil {
		return err
	}
	f.window, f.from = f.window[:size], off
	return nil
}

// again reads b at off, anew after an error.
func (f *file) again(b []byte, off int64) error {
	for n := 1; ; n++ {
		err := f.read(b, off)
		if err == nil {
			return nil
		}
		f.drop()
		if notThere(err) || final(err) {
			return missing(err)
		}
		if n == attempts {
			return fmt.Errorf("%w: %w", filesystem.ErrUnavailable, err)
		}
		time.Sleep(f.pause)
	}
}

// read reads b at off, from a stream that is opened again after an error: block locations and tokens age.
func (f *file) read(b []byte, off int64) error {
	if f.s == nil {
		s, err := f.open()
		if err != nil {
			return err
		}
		f.s, f.at = s, 0
	}
	if f.at != off {
		if _, err := f.s.Seek(off, io.SeekStart); err != nil {
			return err
		}
		f.at = off
	}
	n, err := io.ReadFull(f.s, b)
	f.at += int64(n)
	return err
}

func (f *file) drop() {
	if f.s != nil {
		f.s.Close() // nothing was written
		f.s = nil
	}
}

// notThere: the name node does not know the path any more. The client says so in Java's words when it asks for blocks.
func notThere(err error) bool {
	var remote hdfs.Error
	return errors.Is(err, fs.ErrNotExist) || errors.As(err, &remote) && remote.Exception() == "java.io.FileNotFoundException"
}

func missing(err error) error {
	if notThere(err) && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrNotExist, err)
	}
	return err
}

// Close ends the stream.
func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.drop()
	return nil
}
