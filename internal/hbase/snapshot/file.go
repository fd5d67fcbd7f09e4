package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/waltap/waltap/internal/filesystem"
)

// rounds is how often all places of a file are looked at: it may move to one that was looked at before, say when a region of a
// clone is brought in from .tmp, and to the archive from anywhere.
const rounds = 3

// Stat looks a file up, and refuses what cannot be read. at is where it lies now.
func (f *StoreFile) Stat(from filesystem.FS) (info filesystem.Info, at string, err error) {
	at, err = f.find(func(name string) (err error) {
		info, err = from.Stat(name)
		return err
	})
	return info, at, err
}

// find calls try with the places of the file until one is there.
func (f *StoreFile) find(try func(name string) error) (string, error) {
	var err error
	for range rounds {
		for _, name := range f.Paths {
			if err = try(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
				return name, err
			}
		}
	}
	return "", fmt.Errorf("store file %s is at none of its places (%s, ...): was the snapshot deleted? %w", f.Name, f.Paths[0], err)
}

// Open opens a file where it lies. The file that it returns is found again when it is moved while it is read.
func (f *StoreFile) Open(from filesystem.FS) (filesystem.File, error) {
	m := &movable{of: f, from: from}
	if err := m.open(); err != nil {
		return nil, err
	}
	m.size = m.File.Size()
	return m, nil
}

// movable is an open file that may move.
type movable struct {
	of   *StoreFile
	from filesystem.FS
	size int64

	mu              sync.Mutex
	filesystem.File       // the newest
	moves           int   // how often it was found again
	broken          error // why it cannot be read any more
}

func (m *movable) open() error {
	_, err := m.of.find(func(name string) error {
		f, err := m.from.Open(name)
		if err == nil {
			m.File = f
		}
		return err
	})
	return err
}

func (m *movable) Size() int64 { return m.size }

// ReadAt reads, from where the file has moved to if need be.
func (m *movable) ReadAt(b []byte, off int64) (int, error) {
	for range rounds {
		m.mu.Lock()
		file, moves, broken := m.File, m.moves, m.broken
		m.mu.Unlock()
		if broken != nil {
			return 0, broken
		}
		n, err := file.ReadAt(b, off)
		if !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		if err := m.again(moves); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("read store file %s: it moves all the time: %w", m.of.Name, fs.ErrNotExist)
}

// again finds the file again, unless another reader has since moves.
func (m *movable) again(moves int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	if m.moves != moves {
		return nil
	}
	m.File.Close() // nothing was written
	m.broken = m.open()
	if m.broken == nil && m.File.Size() != m.size {
		m.broken = fmt.Errorf("store file %s had %d bytes, and %d where it was moved to: it is another file", m.of.Name, m.size, m.File.Size())
	}
	m.moves++
	return m.broken
}

func (m *movable) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken == nil {
		m.broken = fs.ErrClosed
	}
	return m.File.Close()
}
