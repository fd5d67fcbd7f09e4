package changes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/source/scan"
)

func openFile(t *testing.T, path string) *FileStore {
	t.Helper()
	s, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What was saved is there after a kill, in the middle of a line, too; what was forgotten is not.
func TestFileStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := openFile(t, path)
	for _, e := range []line{{"a", []byte("1")}, {"b", []byte("\x00\n")}, {"a", []byte("2")}, {"c", []byte("3")}, {"c", nil}} {
		if err := s.Save(t.Context(), e.Key, e.Value); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string][]byte{"a": []byte("2"), "b": []byte("\x00\n")}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(`{"key":"a","val`); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time without what the first one has taken out
		s = openFile(t, path)
		got, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || bytes.Count(b, []byte("\n")) != 2 || !bytes.HasSuffix(b, []byte("\n")) {
		t.Errorf("%v, the file holds what does not count:\n%s", err, b)
	}
	if err := os.WriteFile(path, []byte("not an entry\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), "line 1 is not an entry") {
		t.Errorf("a file of another kind: %v", err)
	}
}

// After a failed write nothing is said to be kept any more: the file may end with half a line.
func TestFileStoreStaysBroken(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "state"))
	s.file.Close()
	for range 2 {
		if err := s.Save(t.Context(), "a", []byte("1")); err == nil {
			t.Error("a write to a closed file is said to be kept")
		}
	}
	if got, _ := s.Load(t.Context()); len(got) != 0 {
		t.Errorf("it holds %v", got)
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add([]byte(`{"key":"a","value":"MQ=="}` + "\n" + `{"key":"a","value":null}` + "\n"))
	f.Add([]byte("{\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := readLines(bytes.NewReader(b))
		if err != nil {
			return
		}
		var out []byte
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			text, err := json.Marshal(line{key, entries[key]})
			if err != nil {
				t.Fatal(err)
			}
			out = append(append(out, text...), '\n')
		}
		again, err := readLines(bytes.NewReader(out))
		if err != nil || !maps.EqualFunc(entries, again, bytes.Equal) {
			t.Errorf("%v: %v, then %v", err, entries, again)
		}
	})
}

// memory is a Store that may be full.
type memory struct {
	entries map[string][]byte
	full    error
}

func (m *memory) Load(context.Context) (map[string][]byte, error) { return maps.Clone(m.entries), nil }

func (m *memory) Save(_ context.Context, key string, value []byte) error {
	if m.full != nil {
		return m.full
	}
	m.entries[key] = value
	if value == nil {
		delete(m.entries, key)
	}
	return nil
}

func load(t *testing.T, store Store) *state {
	t.Helper()
	s, err := loadState(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The state of a reader is what it was when it is loaded again; what the Store has not kept is not taken as kept.
func TestState(t *testing.T) {
	store := &memory{entries: make(map[string][]byte)}
	s := load(t, store)
	if s.known {
		t.Error("an empty Store is known")
	}
	reader, table := readerState{Name: "n", Cluster: "c", Capture: "id", HeldSince: 7}, tableState{Epoch: 2, Listed: true, Families: []string{"a"}}
	r := scan.Range{Table: "ns:t", Epoch: 2, Region: "r", Start: []byte("a/\xff"), Upto: []byte("b"), ReadPoint: 9}
	other := scan.Range{Table: "ns:u", Epoch: 1, Region: "r", Done: true}
	for _, err := range []error{s.saveReader(t.Context(), reader), s.saveTable(t.Context(), "ns:t", table), s.Save(t.Context(), r), s.Save(t.Context(), other)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	store.full = errors.New("full")
	late := r
	late.Done = true
	if err := s.Save(t.Context(), late); !errors.Is(err, store.full) {
		t.Errorf("a full store: %v", err)
	}
	store.full = nil
	for _, s := range []*state{s, load(t, store)} {
		reader.Format = stateFormat
		ranges, err := s.Ranges("ns:t", 2)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]any{reader, table, []scan.Range{r}}, []any{s.reader, s.tables["ns:t"], ranges}); d != "" {
			t.Error(d)
		}
		if ranges, _ := s.Ranges("ns:t", 1); len(ranges) != 0 {
			t.Errorf("of another epoch: %v", ranges)
		}
	}
	s = load(t, store)
	if err := s.clearRanges(t.Context(), "ns:t"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*state{s, load(t, store)} {
		ranges, _ := s.Ranges("ns:t", 2)
		others, _ := s.Ranges("ns:u", 1)
		if len(ranges) != 0 || len(others) != 1 {
			t.Errorf("after one table was forgotten: %v, %v", ranges, others)
		}
	}
	for key, value := range map[string]string{"reader": `{"format":2}`, "table/ns:t": "x", "range/x": "x", "mine": "x"} {
		if _, err := loadState(t.Context(), &memory{entries: map[string][]byte{key: []byte(value)}}); err == nil {
			t.Errorf("entry %s %s is taken", key, value)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	whole := Config{Name: "n", ZooKeeper: []string{"127.0.0.1:1"}, Tables: []string{"default:t"}, AdvertisedHost: "h", Store: &memory{}, Snapshot: SnapshotInitial}
	for want, change := range map[string]func(*Config){
		"Tables are required":        func(c *Config) { c.Tables = nil },
		"AdvertisedHost is required": func(c *Config) { c.AdvertisedHost = "" },
		"needs a Store":              func(c *Config) { c.Store = nil },
		`Snapshot is "always"`:       func(c *Config) { c.Snapshot = "always" },
	} {
		cfg := whole
		change(&cfg)
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
