// Package snapshot reads the snapshots of an HBase from its file system, also copies that ExportSnapshot made: which regions
// there are, and in which files their cells lie. What is in the files is not its business.
//
// Below the root of an HBase, or of an exported copy:
//
//	.hbase-snapshot/NAME/.snapshotinfo    SnapshotDescription
//	.hbase-snapshot/NAME/data.manifest    SnapshotDataManifest: the table's descriptor and all regions with their files
//	data/NS/TABLE/REGION/FAMILY/FILE      the files, while the table has them
//	mobdir/data/NS/TABLE/...              MOB files
//	archive/data/NS/TABLE/...             the files of which the table has no more use: compacted, or dropped with it
package snapshot

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/pb"
)

// manifestLimit bounds what is read as a manifest: about 10 million files.
const manifestLimit = 1 << 30

// Description is what a snapshot says of itself.
type Description struct {
	Name    string
	Table   string // "ns:t"
	Created time.Time
	Type    string // FLUSH, SKIPFLUSH, DISABLED
	Owner   string
}

// SkipFlush is the Type of a snapshot without what was in memory only.
const SkipFlush = "SKIPFLUSH"

// Snapshot is a table as it was.
type Snapshot struct {
	Description
	Root    string // of the HBase, or of the exported copy
	Schema  admin.Table
	Regions []Region // by start key, without those that were split and without replicas
	Mob     []StoreFile
	// Left out: regions that were split, whose files the daughters refer to; replicas.
	Parents, Replicas int
}

// Region is a region of a snapshot: the rows from Start (inclusive) to End (exclusive).
type Region struct {
	Table      string // "ns:t"
	Encoded    string
	Start, End []byte // empty: the table's begin or end
	Files      []StoreFile
}

// Half says which part of a file a reference means.
type Half int

// Halves of a file.
const (
	Whole  Half = iota
	Top         // the rows at or behind Split
	Bottom      // the rows before Split
)

// StoreFile is a file of a region's family.
type StoreFile struct {
	Family string
	Name   string // in the manifest
	File   string // its own: without what makes it a link or a reference
	Size   int64  // of the whole file, bytes, as it was when the snapshot was made; 0: not known
	Link   bool   // it belongs to another table, or to an earlier life of this one
	Half   Half
	Split  []byte // row
	Paths  []string
}

// ErrIncomplete says that a snapshot is being made, or was not finished.
var ErrIncomplete = errors.New("the snapshot is not complete")

// Dir is the folder of a snapshot.
func Dir(root, name string) string { return path.Join(root, snapshotDir, name) }

// SplitPath takes the path of a snapshot apart: the root of its HBase and its name. ok is false for other paths.
func SplitPath(p string) (root, name string, ok bool) {
	dir, name := path.Split(path.Clean(p))
	dir = path.Clean(dir)
	if path.Base(dir) != snapshotDir || name == "" {
		return "", "", false
	}
	return path.Dir(dir), name, true
}

// List lists the complete snapshots below root, by name.
func List(f filesystem.FS, root string) ([]Description, error) {
	entries, err := f.ReadDir(path.Join(root, snapshotDir))
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var out []Description
	for _, e := range entries {
		if !e.Dir || strings.HasPrefix(e.Name, ".") { // .tmp: those that are being made
			continue
		}
		d, err := readDescription(f, Dir(root, e.Name))
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// Load reads a snapshot's manifest.
func Load(f filesystem.FS, root, name string) (*Snapshot, error) {
	if name == "" || strings.ContainsAny(name, "/\\") || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("read snapshot %q: it is not the name of a snapshot", name)
	}
	dir := Dir(root, name)
	d, err := readDescription(f, dir)
	if err != nil {
		return nil, err
	}
	b, err := filesystem.ReadFile(f, path.Join(dir, "data.manifest"), manifestLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read snapshot %s: %w: it has %s, and HBase writes data.manifest when all is there: wait for it, or make it anew", dir, ErrIncomplete, unfinished(f, dir))
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", dir, err)
	}
	s, err := parseManifest(b, root)
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s: data.manifest: %w", dir, err)
	}
	s.Description = d
	if schema := s.Schema.FullName(); d.Table != schema {
		return nil, fmt.Errorf("read snapshot %s: it is of table %s, and its manifest of %s", dir, d.Table, schema)
	}
	return s, nil
}

// unfinished says what there is of a snapshot without a data.manifest: region servers write a manifest for each region.
func unfinished(f filesystem.FS, dir string) string {
	entries, err := f.ReadDir(dir)
	n := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name, "region-manifest.") {
			n++
		}
	}
	if err != nil || n == 0 {
		return "no manifest"
	}
	return fmt.Sprintf("the manifests of %d regions only", n)
}

func readDescription(f filesystem.FS, dir string) (Description, error) {
	b, err := filesystem.ReadFile(f, path.Join(dir, ".snapshotinfo"), 1<<20)
	if err != nil {
		return Description{}, fmt.Errorf("read snapshot %s: %w", dir, err)
	}
	d, err := parseDescription(b)
	if err != nil {
		return Description{}, fmt.Errorf("read snapshot %s: .snapshotinfo: %w", dir, err)
	}
	return d, nil
}

// parseDescription decodes a SnapshotDescription.
func parseDescription(b []byte) (Description, error) {
	var m pb.SnapshotDescription
	if err := proto.Unmarshal(b, &m); err != nil {
		return Description{}, err
	}
	table := m.GetTable()
	if !strings.Contains(table, ":") {
		table = defaultNamespace + ":" + table
	}
	if m.GetVersion() < 2 {
		return Description{}, fmt.Errorf("snapshot %s is of format version %d, of HBase before 0.99: it lists its files by folders, which waltap does not read", m.GetName(), m.GetVersion())
	}
	return Description{Name: m.GetName(), Table: table, Created: time.UnixMilli(m.GetCreationTime()), Type: m.GetType().String(), Owner: m.GetOwner()}, nil
}

// parseManifest decodes a SnapshotDataManifest.
func parseManifest(b []byte, root string) (*Snapshot, error) {
	var m pb.SnapshotDataManifest
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	s := &Snapshot{Root: root, Schema: admin.TableOf(m.GetTableSchema())}
	for _, r := range m.GetRegionManifests() {
		if err := s.add(r, root); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(s.Regions, func(a, b Region) int {
		return cmp.Or(bytes.Compare(a.Start, b.Start), strings.Compare(a.Encoded, b.Encoded))
	})
	return s, checkCover(s.Regions)
}

// add takes a region over, unless its rows are in others.
func (s *Snapshot) add(m *pb.SnapshotRegionManifest, root string) error {
	info := m.GetRegionInfo()
	t := info.GetTableName()
	table := string(t.GetNamespace()) + ":" + string(t.GetQualifier())
	if len(t.GetNamespace()) == 0 {
		table = defaultNamespace + table
	}
	if !tableName.MatchString(table) {
		return fmt.Errorf("%q is not the name of a table", table)
	}
	switch {
	case info.GetSplit():
		s.Parents++
		return nil
	case info.GetReplicaId() != 0:
		s.Replicas++ // it refers to the files of its primary
		return nil
	}
	r := Region{Table: table, Encoded: Encode(table, info.GetStartKey(), info.GetRegionId(), 0), Start: info.GetStartKey(), End: info.GetEndKey()}
	for _, family := range m.GetFamilyFiles() {
		for _, f := range family.GetStoreFiles() {
			sf, err := storeFile(f, &r, string(family.GetFamilyName()), root)
			if err != nil {
				return err
			}
			r.Files = append(r.Files, sf)
		}
	}
	if isMob(info.GetStartKey(), info.GetRegionId()) {
		s.Mob = append(s.Mob, r.Files...)
		return nil
	}
	s.Regions = append(s.Regions, r)
	return nil
}

func storeFile(m *pb.SnapshotRegionManifest_StoreFile, r *Region, family, root string) (StoreFile, error) {
	if !familyName.MatchString(family) || family == "." || family == ".." {
		return StoreFile{}, fmt.Errorf("region %s: %q is not the name of a family", r.Encoded, family)
	}
	ref := m.GetReference()
	p, err := parseName(m.GetName(), r.Table, r.Encoded, family, ref != nil)
	if err != nil {
		return StoreFile{}, err
	}
	f := StoreFile{Family: family, Name: m.GetName(), File: p.file, Size: int64(m.GetFileSize()), Link: strings.Contains(m.GetName(), "="), Paths: p.paths(root)}
	if ref == nil {
		return f, nil
	}
	if f.Half = Bottom; ref.GetRange() == pb.Reference_TOP {
		f.Half = Top
	}
	if f.Split, err = splitRow(ref.GetSplitkey()); err != nil {
		return StoreFile{}, fmt.Errorf("store file %q of region %s: %w", m.GetName(), r.Encoded, err)
	}
	return f, nil
}

// splitRow takes the row out of the key at which a file is cut: the key of a KeyValue that sorts before all others of the row.
//
//	+--------------+-----+-------------------------------------+
//	| int16 rowLen | row | family, qualifier, timestamp, type  |
//	+--------------+-----+-------------------------------------+
func splitRow(key []byte) ([]byte, error) {
	if len(key) < 2 {
		return nil, fmt.Errorf("split key of %d bytes: it is no key", len(key))
	}
	n := int(binary.BigEndian.Uint16(key))
	if n > len(key)-2 {
		return nil, fmt.Errorf("split key of %d bytes: its row has %d", len(key), n)
	}
	return key[2 : 2+n], nil
}

// checkCover reports a hole or an overlap between regions: rows would be lost or doubled.
func checkCover(regions []Region) error {
	var end []byte
	for i, r := range regions {
		if i > 0 && len(end) == 0 || !bytes.Equal(r.Start, end) {
			return fmt.Errorf("region %s begins at %q, the one before it ends at %q: rows would be missing or double", r.Encoded, r.Start, end)
		}
		end = r.End
	}
	if len(end) != 0 {
		return fmt.Errorf("no region begins at %q: rows would be missing", end)
	}
	return nil
}

// FileAt is a store file by its own name, wherever it is by now.
func FileAt(root, table, region, family, name string) (StoreFile, error) {
	if !tableName.MatchString(table) || !isHex(region) || !familyName.MatchString(family) {
		return StoreFile{}, fmt.Errorf("%q, %q, %q: not a table, a region and a family", table, region, family)
	}
	p, err := parseName(name, table, region, family, false)
	return StoreFile{Family: family, Name: name, File: p.file, Paths: p.paths(root)}, err
}

// MobFile finds the MOB file that a cell names. table is that of the cell's MOB_TABLE_NAME tag, in HBase's form ("t" or "ns:t").
func (s *Snapshot) MobFile(table, family, file string) (StoreFile, error) {
	p, err := mobPlace(table, family, file)
	if err != nil {
		return StoreFile{}, err
	}
	f := StoreFile{Family: family, Name: file, File: file, Paths: p.paths(s.Root)}
	for _, m := range s.Mob { // a clone's are links
		if m.Family == family && m.File == file {
			f.Link = m.Link
			for _, at := range m.Paths {
				if !slices.Contains(f.Paths, at) {
					f.Paths = append(f.Paths, at)
				}
			}
		}
	}
	return f, nil
}
