package snapshot

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/pb"
)

const (
	hex1 = "0123456789abcdef0123456789abcdef"
	hex2 = "fedcba9876543210fedcba9876543210"
)

func TestEncode(t *testing.T) {
	if Encode("default:t", nil, 1, 0) != Encode("t", nil, 1, 0) {
		t.Error("the default namespace is in the name")
	}
	if Encode("t", nil, 1, 1) == Encode("t", nil, 1, 0) {
		t.Error("a replica has the name of its primary")
	}
}

func TestParseName(t *testing.T) {
	for _, c := range []struct {
		name      string
		reference bool
		want      place
	}{
		{hex1, false, place{"ns:t", "r1", "f", hex1}},
		{hex1 + "_SeqId_19_", false, place{"ns:t", "r1", "f", hex1 + "_SeqId_19_"}},
		{"orders=" + hex2 + "-" + hex1, false, place{"default:orders", hex2, "f", hex1}},
		{"shop=orders-2.x=" + hex2 + "-" + hex1 + "_SeqId_4_", false, place{"shop:orders-2.x", hex2, "f", hex1 + "_SeqId_4_"}},
		{hex1 + "." + hex2, true, place{"ns:t", hex2, "f", hex1}},
		{"orders=" + hex2 + "-" + hex1 + "." + "ab", true, place{"default:orders", hex2, "f", hex1}},
		// MOB: the region's key, the day, an id and the region.
		{hex1 + "20261121" + hex2 + "_" + hex1, false, place{"ns:t", "r1", "f", hex1 + "20261121" + hex2 + "_" + hex1}},
	} {
		got, err := parseName(c.name, "ns:t", "r1", "f", c.reference)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", hex1 + "." + hex2, "t=" + hex2 + "-../../x", "a=b=c=" + hex2 + "-" + hex1, "t=../x-" + hex1} {
		if got, err := parseName(name, "ns:t", "r1", "f", false); err == nil {
			t.Errorf("%q was taken for %+v", name, got)
		}
	}
	if got, err := parseName(hex1, "ns:t", "r1", "f", true); err == nil {
		t.Errorf("a reference to nothing was taken for %+v", got)
	}
}

// key is the key that a file is cut at.
func key(row string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(row)))
	return append(append(b, row...), 0, 0, 0, 0, 0, 0, 0, 0, 0, 4)
}

func region(start, end string, id uint64, files ...*pb.SnapshotRegionManifest_StoreFile) *pb.SnapshotRegionManifest {
	return &pb.SnapshotRegionManifest{
		RegionInfo:  &pb.RegionInfo{RegionId: &id, TableName: &pb.TableName{Namespace: []byte("ns"), Qualifier: []byte("t")}, StartKey: []byte(start), EndKey: []byte(end)},
		FamilyFiles: []*pb.SnapshotRegionManifest_FamilyFiles{{FamilyName: []byte("f"), StoreFiles: files}},
	}
}

func named(name string, size uint64) *pb.SnapshotRegionManifest_StoreFile {
	return &pb.SnapshotRegionManifest_StoreFile{Name: &name, FileSize: &size}
}

func half(name, row string, r pb.Reference_Range) *pb.SnapshotRegionManifest_StoreFile {
	f := named(name, 10)
	f.Reference = &pb.Reference{Splitkey: key(row), Range: r.Enum()}
	return f
}

func manifest(t testing.TB, regions ...*pb.SnapshotRegionManifest) []byte {
	t.Helper()
	b, err := proto.Marshal(&pb.SnapshotDataManifest{
		TableSchema:     &pb.TableSchema{TableName: &pb.TableName{Namespace: []byte("ns"), Qualifier: []byte("t")}, ColumnFamilies: []*pb.ColumnFamilySchema{{Name: []byte("f")}}},
		RegionManifests: regions,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parts are regions of each kind: a parent that was split, its daughters, MOB files and a replica.
func parts() []*pb.SnapshotRegionManifest {
	parent := region("", "", 1, named(hex1, 100))
	parent.RegionInfo.Split, parent.RegionInfo.Offline = proto.Bool(true), proto.Bool(true)
	ref := hex1 + "." + Encode("ns:t", nil, 1, 0)
	replica := region("", "m", 2)
	replica.RegionInfo.ReplicaId = proto.Int32(1)
	return []*pb.SnapshotRegionManifest{
		region("m", "", 3, half(ref, "m", pb.Reference_TOP)), parent,
		region("", "m", 2, half(ref, "m", pb.Reference_BOTTOM), named(hex2, 7)),
		region(mobStart, "", 0, named(hex1+"20261121"+hex2, 50)), replica,
	}
}

func TestManifest(t *testing.T) {
	s, err := parseManifest(manifest(t, parts()...), "/hbase")
	if err != nil {
		t.Fatal(err)
	}
	if s.Parents != 1 || s.Replicas != 1 || len(s.Mob) != 1 || len(s.Regions) != 2 {
		t.Fatalf("%d parents, %d replicas, %d MOB files, %d regions", s.Parents, s.Replicas, len(s.Mob), len(s.Regions))
	}
	low := s.Regions[0]
	if low.Table != "ns:t" || string(low.End) != "m" || len(low.Files) != 2 {
		t.Fatalf("%+v", low)
	}
	parent := Encode("ns:t", nil, 1, 0)
	want := StoreFile{Family: "f", Name: hex1 + "." + parent, File: hex1, Size: 10, Half: Bottom, Split: []byte("m"), Paths: []string{
		"/hbase/data/ns/t/" + parent + "/f/" + hex1, "/hbase/.tmp/data/ns/t/" + parent + "/f/" + hex1,
		"/hbase/mobdir/data/ns/t/" + parent + "/f/" + hex1, "/hbase/archive/data/ns/t/" + parent + "/f/" + hex1}}
	if d := cmp.Diff(want, low.Files[0]); d != "" {
		t.Error(d)
	}
	if s.Regions[1].Files[0].Half != Top {
		t.Error("the upper daughter has not the upper half")
	}
	mob, err := s.MobFile("ns:t", "f", hex1+"20261121"+hex2)
	if err != nil {
		t.Fatal(err)
	}
	if want := "/hbase/mobdir/data/ns/t/" + Encode("ns:t", []byte(mobStart), 0, 0) + "/f/" + hex1 + "20261121" + hex2; mob.Paths[2] != want {
		t.Errorf("MOB file at %v, want %s", mob.Paths, want)
	}
}

func TestManifestRefused(t *testing.T) {
	short := half(hex1+".ab", "m", pb.Reference_TOP)
	short.Reference.Splitkey = []byte{0, 9, 'm'}
	slash := region("", "", 1, named(hex1, 1))
	slash.FamilyFiles[0].FamilyName = []byte("../f")
	for what, b := range map[string][]byte{
		"a hole":                      manifest(t, region("", "k", 1), region("m", "", 2)),
		"an overlap":                  manifest(t, region("", "m", 1), region("k", "", 2)),
		"no end":                      manifest(t, region("", "m", 1)),
		"no region":                   []byte{0x0a, 0x00, 0xff},
		"a split key without its row": manifest(t, region("", "", 1, short)),
		"a family that is a path":     manifest(t, slash),
		"a file that is a path":       manifest(t, region("", "", 1, named("../../x", 1))),
	} {
		if s, err := parseManifest(b, "/hbase"); err == nil {
			t.Errorf("%s: taken for %+v", what, s)
		}
	}
}

func TestOldSnapshotRefused(t *testing.T) {
	b, err := proto.Marshal(&pb.SnapshotDescription{Name: proto.String("s"), Table: proto.String("t")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseDescription(b); err == nil || !strings.Contains(err.Error(), "format version 0") {
		t.Error(err)
	}
}

func TestSplitPath(t *testing.T) {
	root, name, ok := SplitPath("/backups/hbase/.hbase-snapshot/orders/")
	if !ok || root != "/backups/hbase" || name != "orders" {
		t.Errorf("%q, %q, %t", root, name, ok)
	}
	for _, p := range []string{"/hbase", "/hbase/.hbase-snapshot", "/"} {
		if _, _, ok := SplitPath(p); ok {
			t.Errorf("%s was taken for a snapshot", p)
		}
	}
}

// A file is read on when it moves to the archive, or to a place that was looked at before; one that is gone is not.
func TestFileThatMoves(t *testing.T) {
	root := filepath.ToSlash(t.TempDir())
	p, err := parseName(hex1, "ns:t", hex2, "f", false)
	if err != nil {
		t.Fatal(err)
	}
	f := StoreFile{Name: hex1, Paths: p.paths(root)}
	put := func(at string) {
		if err := os.MkdirAll(path.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte("0123456789"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(f.Paths[0])
	from := &moving{}
	r, err := f.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for n, at := range []string{f.Paths[3], f.Paths[1], f.Paths[0]} {
		if err := os.Remove(from.at); err != nil {
			t.Fatal(err)
		}
		put(at)
		b := make([]byte, 4)
		if _, err := r.ReadAt(b, int64(n)); err != nil || string(b) != "0123456789"[n:n+4] {
			t.Fatalf("moved to %s: read %q, %v", at, b, err)
		}
	}
	if err := os.Remove(from.at); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "was the snapshot deleted?") {
		t.Errorf("a file that is gone: %v", err)
	}
}

// A file of another size at the place where one was moved to is not read.
func TestAnotherFile(t *testing.T) {
	root := filepath.ToSlash(t.TempDir())
	f := StoreFile{Name: hex1, Paths: []string{root + "/a", root + "/b"}}
	if err := os.WriteFile(f.Paths[0], []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := f.Open(&moving{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := errors.Join(os.Remove(f.Paths[0]), os.WriteFile(f.Paths[1], []byte("another"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.ReadAt(make([]byte, 1), 0); err == nil || !strings.Contains(err.Error(), "another file") {
			t.Errorf("another file: %v", err)
		}
	}
}

// moving is a file system whose open files are found by their path at each read, as those of HDFS may be.
type moving struct {
	filesystem.Local
	at string
}

func (m *moving) Open(name string) (filesystem.File, error) {
	f, err := m.Local.Open(name)
	if err != nil {
		return nil, err
	}
	m.at = name
	return &movingFile{f, name}, nil
}

type movingFile struct {
	filesystem.File
	name string
}

func (f *movingFile) ReadAt(b []byte, off int64) (int, error) {
	if _, err := os.Stat(f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, off)
}

// The manifest of testdata was written by HBase 2.6.4: see source/hfile, which has the files, too.
func TestManifestOfHBase(t *testing.T) {
	all, err := List(filesystem.Local{}, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Name != "orders_snap" || all[0].Table != "shop:orders" || all[0].Type != "FLUSH" || all[0].Created.UnixMilli() != 1_700_000_000_000 {
		t.Fatalf("%+v", all)
	}
	s, err := Load(filesystem.Local{}, "testdata", "orders_snap")
	if err != nil {
		t.Fatal(err)
	}
	halves := 0
	for _, r := range s.Regions {
		for _, f := range r.Files {
			if f.Half != Whole {
				halves++
				if string(f.Split) != "r031" {
					t.Errorf("%s is cut at %q", f.Name, f.Split)
				}
			}
		}
	}
	if len(s.Regions) != 2 || s.Parents != 1 || halves != 12 || len(s.Mob) != 3 || s.Schema.Family("m").Attributes["IS_MOB"] != "true" {
		t.Errorf("%d regions, %d parents, %d halves, %d MOB files", len(s.Regions), s.Parents, halves, len(s.Mob))
	}
	// The folders that HBase has made bear these names.
	if string(s.Regions[0].End) != "r031" || s.Regions[0].Encoded != "4262adc020a0bf655156d181c79f8cdd" || s.Regions[1].Encoded != "764d1c9c3122d5ff6d17e4c0565a53e4" {
		t.Errorf("regions %s, %s", s.Regions[0].Encoded, s.Regions[1].Encoded)
	}
	if _, err := Load(filesystem.Local{}, "testdata", "other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want fs.ErrNotExist", err)
	}
	if _, err := Load(filesystem.Local{}, "testdata", "../x"); err == nil {
		t.Error("a path was taken for a name")
	}
}

// FuzzManifest: whatever a manifest holds, it is refused or its files lie below the root.
func FuzzManifest(f *testing.F) {
	f.Add(manifest(f, parts()...))
	captured, err := filepath.Glob("testdata/.hbase-snapshot/*/data.manifest")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range captured {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseManifest(b, "/hbase")
		if err != nil {
			return
		}
		for _, r := range s.Regions {
			for _, sf := range r.Files {
				inside(t, sf.Paths)
			}
		}
	})
}

func inside(t *testing.T, paths []string) {
	t.Helper()
	for _, p := range paths {
		if path.Clean(p) != p || !strings.HasPrefix(p, "/hbase/") || strings.Count(p, "/") < 7 {
			t.Fatalf("a file at %s", p)
		}
	}
}

// FuzzName: links and references.
func FuzzName(f *testing.F) {
	for _, name := range []string{hex1, hex1 + "_SeqId_1_", "a=" + hex2 + "-" + hex1, "ns=a-b=" + hex2 + "-" + hex1 + "." + hex1, "..", "a=../b-c"} {
		f.Add(name, true)
		f.Add(name, false)
	}
	f.Fuzz(func(t *testing.T, name string, reference bool) {
		if p, err := parseName(name, "ns:t", "r", "f", reference); err == nil {
			inside(t, p.paths("/hbase"))
		}
	})
}

// FuzzMobPlace: what a cell says of its value's file.
func FuzzMobPlace(f *testing.F) {
	f.Add("t", hex1+"20261121"+hex2)
	f.Add("ns:t", "../x")
	f.Add("a/b:c", hex1)
	f.Fuzz(func(t *testing.T, table, name string) {
		if p, err := mobPlace(table, "f", name); err == nil {
			inside(t, p.paths("/hbase"))
		}
	})
}

// FuzzDescription decodes a .snapshotinfo.
func FuzzDescription(f *testing.F) {
	b, err := proto.Marshal(&pb.SnapshotDescription{Name: proto.String("s"), Table: proto.String("t"), Version: proto.Int32(2)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := parseDescription(b); err == nil && !strings.Contains(d.Table, ":") {
			t.Fatalf("%+v", d)
		}
	})
}

// A snapshot that was not finished has manifests of regions, and none of the whole.
func TestUnfinishedSnapshot(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, ".hbase-snapshot", "s")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := proto.Marshal(&pb.SnapshotDescription{Name: proto.String("s"), Table: proto.String("t"), Version: proto.Int32(2)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".snapshotinfo"), d, 0o644); err != nil {
		t.Fatal(err)
	}
	says := func(want string) {
		t.Helper()
		_, err := Load(filesystem.Local{}, filepath.ToSlash(root), "s")
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "make it anew") {
			t.Errorf("%v, want one that says %q", err, want)
		}
	}
	says("it has no manifest")
	for _, region := range []string{"0123", "4567"} {
		if err := os.WriteFile(filepath.Join(dir, "region-manifest."+region), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	says("the manifests of 2 regions only")
}
