package hbase

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
)

// Target is a cluster that a program which embeds waltap writes to. Its tables are there, with all families of the changes.
type Target struct {
	ZooKeeper []string // host:port
	Root      string   // its znode; default /hbase
	Mode      Mode     // default Auto
	Mapping   schema.Mapping
	Log       *slog.Logger // default: nobody is told
}

// OpenTarget is Open without Kafka; ctx bounds the connecting.
func OpenTarget(ctx context.Context, t Target) (*Applier, error) {
	log := t.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return Open(ctx, Config{Target: admin.Config{Quorum: t.ZooKeeper, Root: cmp.Or(t.Root, "/hbase"), Logger: log}, Mapping: t.Mapping, Mode: t.Mode, Log: log})
}
