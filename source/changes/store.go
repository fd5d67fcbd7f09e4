package changes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Store keeps the state of one Reader, which belongs to the program that embeds it: entries of some hundred bytes by key, which only the Reader reads.
// A table has one, and each of its regions one or a few. A Reader calls Load once, then Save from several goroutines.
type Store interface {
	// Load gives all entries that are kept.
	Load(ctx context.Context) (map[string][]byte, error)
	// Save keeps value under key in place of what was there; nil: nothing is any more. It returns when that is durable. An error ends the Reader.
	Save(ctx context.Context, key string, value []byte) error
}

// FileStore is a Store in one local file: an entry a line, the last one of a key counts.
type FileStore struct {
	mu      sync.Mutex
	file    *os.File
	entries map[string][]byte
	broken  error // of a write: what the file ends with is not known
}

// line is an entry in the file.
type line struct {
	Key   string `json:"key"`
	Value []byte `json:"value"` // nil: the key is forgotten
}

// OpenFile opens the file, or creates it. One process has it open at a time.
func OpenFile(path string) (*FileStore, error) {
	entries := make(map[string][]byte)
	old, err := os.Open(path)
	if err == nil {
		entries, err = readLines(old)
		old.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	// Anew, without the lines that count no more and one that a kill has left half.
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	s := &FileStore{file: f, entries: entries}
	if err := s.replace(path); err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return s, nil
}

// readLines reads entries up to the end, where half a line is one that was never kept.
func readLines(r io.Reader) (map[string][]byte, error) {
	entries := make(map[string][]byte)
	b := bufio.NewReader(r)
	for n := 1; ; n++ {
		text, err := b.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("line %d is not an entry: %w", n, err)
		}
		if l.Value == nil {
			delete(entries, l.Key)
		} else {
			entries[l.Key] = l.Value
		}
	}
}

func (s *FileStore) replace(path string) error {
	for _, key := range slices.Sorted(maps.Keys(s.entries)) {
		if err := s.append(key, s.entries[key]); err != nil {
			return err
		}
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(s.file.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func (s *FileStore) append(key string, value []byte) error {
	text, err := json.Marshal(line{key, value})
	if err != nil {
		return err
	}
	_, err = s.file.Write(append(text, '\n'))
	return err
}

// Load implements Store.
func (s *FileStore) Load(context.Context) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.entries), nil
}

// Save implements Store.
func (s *FileStore) Save(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	err := s.append(key, value)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		s.broken = fmt.Errorf("write store %s: %w", s.file.Name(), err)
		return s.broken
	}
	if value == nil {
		delete(s.entries, key)
	} else {
		s.entries[key] = bytes.Clone(value)
	}
	return nil
}

// Close closes the file.
func (s *FileStore) Close() error { return s.file.Close() }
