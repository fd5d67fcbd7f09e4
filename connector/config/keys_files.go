package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/schema"
)

// SnapshotReader is a snapshot.reader.
type SnapshotReader string

// What the tables' history is read from.
const (
	ReaderScan  SnapshotReader = "scan"   // the region servers
	ReaderFiles SnapshotReader = "hfiles" // the files of a snapshot
)

// Files says where the history is read from files.
type Files struct {
	Reader    SnapshotReader
	Root      filesystem.Location
	User      string
	Snapshots map[string]string // by table: one that is there
}

// fileKeys say how history is read from files, see docs/snapshot-files.md.
var fileKeys = []Key{
	{
		Name: "snapshot.reader", Scope: InSource, Type: String, Default: "scan", Values: []string{"scan", "hfiles"},
		Doc: "scan: the tables are read through the region servers. hfiles: the master makes a snapshot of each table, waltap reads its files below hbase.rootdir and deletes the snapshot; the region servers are asked to flush, and for nothing else. docs/snapshot-files.md has what it needs and what it refuses.",
		set: text(func(t *target) *SnapshotReader { return &t.source.Files.Reader }),
	},
	{
		Name: "hbase.rootdir", Scope: InSource, Type: String, Example: "hdfs://namenode-1:8020,namenode-2:8020/hbase",
		Doc: "Where the source keeps its files: hbase.rootdir of its hbase-site.xml, with the hosts of the name nodes in place of a name service, or a folder that is mounted here (file:///path). Needed for snapshot.reader: hfiles, and to read what is bulk-loaded.",
		set: into(filesystem.ParseLocation, func(t *target) *filesystem.Location { return &t.source.Files.Root }),
	},
	{
		Name: "hbase.rootdir.user", Scope: InSource, Type: String, Default: "hbase", Example: "hbase",
		Doc: "HDFS user as whom the files are read. HBase's files can be read by its own user only, unless an HDFS ACL lets others.",
		set: text(func(t *target) *string { return &t.source.Files.User }),
	},
	{
		Name: "snapshot.name", Scope: InSource, Type: List, Example: "default:orders=orders_backup",
		Doc: "Snapshots that are there already and are to be read in place of new ones: table=snapshot. They are not deleted. Only with snapshot.reader: hfiles and snapshot.mode: initial_only, as changes that came after such a snapshot are not to be had. Without hbase.zookeeper.quorum nothing else is read and no HBase is needed: hbase.rootdir may be a folder that ExportSnapshot has copied them to.",
		set: into(parseSnapshots, func(t *target) *map[string]string { return &t.source.Files.Snapshots }),
	},
}

func parseSnapshots(s string) (map[string]string, error) {
	list, err := parseList(s)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	out := make(map[string]string, len(list))
	for _, e := range list {
		table, name, ok := strings.Cut(e, "=")
		if !ok || table == "" || name == "" {
			return nil, fmt.Errorf("%q is not a table and its snapshot, such as default:orders=orders_backup", e)
		}
		out[schema.NormalizeTable(table)] = name
	}
	return out, nil
}

// checkFiles faults keys that do not go together.
func checkFiles(s *section, c *Source, f *faults) {
	files := &c.Files
	if files.Reader == ReaderFiles && files.Root.Path == "" {
		f.add(s.fault("hbase.rootdir"), "required for snapshot.reader: hfiles: where the source keeps its files, such as hdfs://namenode:8020/hbase")
	}
	if len(files.Snapshots) > 0 && (files.Reader != ReaderFiles || c.Snapshot.Mode != SnapshotInitialOnly) {
		f.add(s.fault("snapshot.name"), "needs snapshot.reader: hfiles and snapshot.mode: initial_only")
	}
	if len(files.Snapshots) == 0 && detached(s) && !s.has("hbase.zookeeper.quorum") {
		f.add(s.fault("hbase.zookeeper.quorum"), "required, as snapshot.name names no snapshot")
	}
	for _, table := range slices.Sorted(maps.Keys(files.Snapshots)) {
		if len(c.Tables.Include) > 0 && !c.Tables.Match(table) {
			f.add(s.fault("snapshot.name"), "table %s is not in table.include.list, so its snapshot would not be read", table)
		}
	}
}

// detached tells whether a source reads snapshots that are there, and nothing of an HBase.
func detached(s *section) bool {
	return s.keys["connector.class"].value == string(HBaseSource) && s.keys["snapshot.name"].value != ""
}
