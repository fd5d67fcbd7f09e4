package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/filesystem"
)

func TestFiles(t *testing.T) {
	source := func(keys string) (*Source, error) {
		p, err := Parse("test.yaml", []byte("bootstrap.servers: k:9092\nconnectors:\n  - name: a\n    connector.class: HBaseSource\n    hbase.zookeeper.quorum: z:2181\n    topic.prefix: p\n    table.include.list: t, shop:u\n"+keys))
		if err != nil {
			return nil, err
		}
		return p.Connectors[0].Source, nil
	}
	s, err := source("    snapshot.reader: hfiles\n    snapshot.mode: initial_only\n    hbase.rootdir: hdfs://n1,n2:9000/hbase\n    snapshot.name: t=s1, shop:u=s2\n")
	if err != nil {
		t.Fatal(err)
	}
	want := Files{Reader: ReaderFiles, Root: filesystem.Location{NameNodes: []string{"n1:8020", "n2:9000"}, Path: "/hbase"}, User: "hbase", Snapshots: map[string]string{"default:t": "s1", "shop:u": "s2"}}
	if d := cmp.Diff(want, s.Files); d != "" {
		t.Error(d)
	}
	for keys, says := range map[string]string{
		"    snapshot.reader: hfiles\n":     "hbase.rootdir: required",
		"    hbase.rootdir: s3://b/hbase\n": "neither hdfs://",
		"    snapshot.name: t=s\n":          "snapshot.name: needs snapshot.reader: hfiles",
		"    snapshot.reader: hfiles\n    hbase.rootdir: /hbase\n    snapshot.name: t=s\n":                                "and snapshot.mode: initial_only",
		"    snapshot.reader: hfiles\n    hbase.rootdir: /hbase\n    snapshot.mode: initial_only\n    snapshot.name: t\n": "not a table and its snapshot",
	} {
		if _, err := source(keys); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", keys, err, says)
		}
	}
}

// A source of snapshots that are there needs no cluster.
func TestDetachedSource(t *testing.T) {
	parse := func(keys string) error {
		_, err := Parse("test.yaml", []byte("bootstrap.servers: k:9092\nconnectors:\n  - name: a\n    connector.class: HBaseSource\n    topic.prefix: p\n    table.include.list: t\n    hbase.rootdir: /backup\n    snapshot.reader: hfiles\n"+keys))
		return err
	}
	const only = "    snapshot.mode: initial_only\n"
	if err := parse(only + "    snapshot.name: t=s\n"); err != nil {
		t.Error(err)
	}
	for keys, says := range map[string]string{
		only:                                   "hbase.zookeeper.quorum: required",
		only + "    snapshot.name: \"\"\n":     "hbase.zookeeper.quorum: required",
		only + "    snapshot.name: \",\"\n":    "hbase.zookeeper.quorum: required",
		only + "    snapshot.name: t=s, u=s\n": "table default:u is not in table.include.list",
		"    snapshot.name: t=s\n":             "snapshot.mode: initial_only",
	} {
		if err := parse(keys); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", keys, err, says)
		}
	}
}
