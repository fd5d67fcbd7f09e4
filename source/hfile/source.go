// Package hfile is the source room that reads what a table held from the files of a snapshot, without a word to a region server. It
// is a scan.Source: sharding, progress, filters and limits are those of the scan.
package hfile

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/admin"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/internal/hbase/snapshot"
	"github.com/waltap/waltap/internal/hfile"
	"github.com/waltap/waltap/source/scan"
)

// Config of a Source.
type Config struct {
	FS   filesystem.FS
	Root string // of the HBase, or of an exported copy
	// Snapshot names the snapshot of a table ("ns:t") that is read.
	Snapshot func(table string) (string, error)
	// Workers is how many goroutines decode each file ahead of the merge; default 1.
	Workers int
}

// Source reads tables from snapshots.
type Source struct {
	cfg Config

	mu        sync.Mutex
	snapshots map[string]*snapshot.Snapshot // by table; the one that was asked for last
}

var _ scan.Source = (*Source)(nil)

// New returns a Source.
func New(cfg Config) *Source {
	if cfg.Workers <= 0 {
		cfg.Workers = 1
	}
	return &Source{cfg: cfg, snapshots: make(map[string]*snapshot.Snapshot)}
}

// snapshot returns the manifest of a table's snapshot, which is read once.
func (s *Source) snapshot(table string) (*snapshot.Snapshot, error) {
	name, err := s.cfg.Snapshot(table)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.snapshots[table]; m != nil && m.Name == name {
		return m, nil
	}
	m, err := snapshot.Load(s.cfg.FS, s.cfg.Root, name)
	if err != nil {
		return nil, err
	}
	if m.Table != table {
		return nil, fmt.Errorf("snapshot %s is of table %s, not of %s", name, m.Table, table)
	}
	s.snapshots[table] = m
	return m, nil
}

// Regions lists the regions that the table's snapshot has.
func (s *Source) Regions(_ context.Context, table string) ([]admin.Region, error) {
	m, err := s.snapshot(table)
	if err != nil {
		return nil, err
	}
	var out []admin.Region
	for _, r := range m.Regions {
		out = append(out, admin.Region{Table: r.Table, Name: []byte(r.Encoded), Encoded: r.Encoded, Start: r.Start, End: r.End})
	}
	return out, nil
}

// Sizes are the bytes of the regions' files, of all tables that were asked for. Half a file counts as half.
func (s *Source) Sizes(context.Context) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int64)
	for _, m := range s.snapshots {
		for _, r := range m.Regions {
			for _, f := range r.Files {
				n := f.Size
				if f.Half != snapshot.Whole {
					n /= 2
				}
				out[r.Encoded] += n
			}
		}
	}
	return out, nil
}

// region finds a region of a table's snapshot.
func (s *Source) region(table, encoded string) (*snapshot.Snapshot, *snapshot.Region, error) {
	m, err := s.snapshot(table)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(m.Regions, func(r snapshot.Region) bool { return r.Encoded == encoded })
	if i < 0 {
		return nil, nil, fmt.Errorf("snapshot %s has no region %s", m.Name, encoded)
	}
	return m, &m.Regions[i], nil
}

// checkFiles is how many files Check opens at once.
const checkFiles = 8

// Check refuses a table's snapshot that cannot be read right, before anything is read of it: every file is there, and can be
// opened.
func (s *Source) Check(ctx context.Context, table string, families []string) error {
	m, err := s.snapshot(table)
	if err != nil {
		return err
	}
	if err := checkFamilies(m, families); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(checkFiles)
	for i := range m.Regions {
		for j := range m.Regions[i].Files {
			f := &m.Regions[i].Files[j]
			if !slices.Contains(families, f.Family) {
				continue
			}
			g.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				o, err := s.open(f, hfile.Options{})
				if err == nil {
					o.close()
				}
				return err
			})
		}
	}
	for i := range m.Mob {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			_, _, err := m.Mob[i].Stat(s.cfg.FS)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("snapshot %s of table %s: %w", m.Name, table, err)
	}
	return nil
}

// checkFamilies refuses families whose cells cannot be had, or not in their order.
func checkFamilies(m *snapshot.Snapshot, families []string) error {
	for _, name := range families {
		f := m.Schema.Family(name)
		switch {
		case f == nil:
			return fmt.Errorf("snapshot %s of table %s has no family %s: make it anew", m.Name, m.Table, name)
		case strings.EqualFold(f.Attributes["NEW_VERSION_BEHAVIOR"], "true"):
			return fmt.Errorf("table %s, family %s: NEW_VERSION_BEHAVIOR orders deletes by the sequence of their writing, which files that were compacted do not have: set snapshot.reader: scan", m.Table, name)
		case f.Attributes["ENCRYPTION"] != "":
			return fmt.Errorf("table %s, family %s is encrypted (ENCRYPTION => '%s'), and only HBase has the key: set snapshot.reader: scan", m.Table, name, f.Attributes["ENCRYPTION"])
		}
	}
	return nil
}

// opened is a store file that is open.
type opened struct {
	*hfile.File
	of   *snapshot.StoreFile
	from filesystem.File
}

func (o *opened) close() { o.from.Close() } // nothing was written

const (
	// streamAhead is how much of all its files together a stream reads ahead, bytes; minAhead and maxAhead bound what that is for each.
	streamAhead        = 16 << 20
	minAhead, maxAhead = 256 << 10, 4 << 20
)

// reading is how each of n files is read beside the others.
func (s *Source) reading(n int) hfile.Options {
	ahead := min(max(streamAhead/max(n, 1), minAhead), maxAhead)
	return hfile.Options{Workers: s.cfg.Workers, ReadAhead: ahead, ReadSize: min(ahead/2, 1<<20)}
}

// open opens a store file to be read with o.
func (s *Source) open(f *snapshot.StoreFile, o hfile.Options) (*opened, error) {
	from, err := f.Open(s.cfg.FS)
	if err != nil {
		return nil, err
	}
	o.Name = f.Paths[0]
	h, err := hfile.Open(from, from.Size(), o)
	if err != nil {
		from.Close()
		return nil, err
	}
	if !h.Meta().UserOrder {
		from.Close()
		return nil, fmt.Errorf("store file %s is not in the order of user tables", f.Name)
	}
	return &opened{File: h, of: f, from: from}, nil
}

// rows is the part of [start, stop) that lies in the file's half. ok is false when it is empty.
func (o *opened) rows(start, stop []byte) (from, to []byte, ok bool) {
	switch o.of.Half {
	case snapshot.Top:
		if bytes.Compare(start, o.of.Split) < 0 {
			start = o.of.Split
		}
	case snapshot.Bottom:
		if len(o.of.Split) == 0 { // no row is before it
			return nil, nil, false
		}
		if len(stop) == 0 || bytes.Compare(o.of.Split, stop) < 0 {
			stop = o.of.Split
		}
	}
	return start, stop, len(stop) == 0 || bytes.Compare(start, stop) < 0
}

// openAll opens the files of a region that hold families; none: all.
func (s *Source) openAll(r *snapshot.Region, families []string) (files []*opened, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	reading := s.reading(len(r.Files))
	for i := range r.Files {
		f := &r.Files[i]
		if len(families) > 0 && !slices.Contains(families, f.Family) {
			continue
		}
		o, err := s.open(f, reading)
		if err != nil {
			return files, err
		}
		files = append(files, o)
	}
	return files, nil
}

func closeAll(files []*opened) {
	for _, f := range files {
		f.close()
	}
}

// Cuts takes the rows from the indexes of the largest files.
func (s *Source) Cuts(_ context.Context, req hscan.Request, parts int) ([][]byte, error) {
	_, r, err := s.region(req.Table, req.Region.Encoded)
	if err != nil {
		return nil, err
	}
	files, err := s.openAll(r, req.Families)
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	return cuts(files, req.Start, req.Stop, parts)
}

// weighed is a row, and how many bytes lie between the one before it and itself.
type weighed struct {
	row   []byte
	bytes int64
}

// cuts weighs the rows that cut each file into parts, and takes those where about a part of all bytes has gone by.
func cuts(files []*opened, start, stop []byte, parts int) ([][]byte, error) {
	var rows []weighed
	var total int64
	for _, f := range files {
		from, to, ok := f.rows(start, stop)
		if !ok {
			continue
		}
		size, err := f.Bytes(from, to)
		if err != nil {
			return nil, err
		}
		at, err := f.SplitRows(cutSamples * parts)
		if err != nil {
			return nil, err
		}
		at = slices.DeleteFunc(at, func(row []byte) bool {
			return bytes.Compare(row, from) <= 0 || len(to) > 0 && bytes.Compare(row, to) >= 0
		})
		total += size
		for _, row := range at {
			rows = append(rows, weighed{row, size / int64(len(at)+1)})
		}
	}
	slices.SortFunc(rows, func(a, b weighed) int { return bytes.Compare(a.row, b.row) })
	var out [][]byte
	var passed int64
	for _, w := range rows {
		if passed += w.bytes; passed >= total*int64(len(out)+1)/int64(parts) && len(out) < parts-1 {
			if n := len(out); n == 0 || !bytes.Equal(out[n-1], w.row) {
				out = append(out, bytes.Clone(w.row))
			}
		}
	}
	return out, nil
}

// cutSamples is into how many pieces each file is cut for each part that is wanted: the finer, the more even the parts.
const cutSamples = 4
