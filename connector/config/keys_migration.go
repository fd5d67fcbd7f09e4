package config

import (
	"fmt"
	"time"
)

// Migration is what waltap migrate is told beside the two connectors of its file.
type Migration struct {
	Name  string // "": that of the source connector
	Waves []Wave // in the order of their names; none: one wave with all tables
	// MaxFreeze is how long writers may be kept waiting at a cut-over.
	MaxFreeze time.Duration
	Fence     FenceMode
}

// Wave is a part of a migration: tables that are copied, verified and cut over together.
type Wave struct {
	Name   string
	Tables []TablePattern
	List   string // Tables as they were written
}

// FenceMode is a migration.fence.
type FenceMode string

// How the source's tables are kept from being written to at a cut-over.
const (
	FenceReadOnly FenceMode = "read-only"
	FenceDisable  FenceMode = "disable"
)

// migrationKeys are read by waltap migrate; waltap run leaves them aside.
var migrationKeys = []Key{
	{
		Name: "migration.name", Scope: InProcess, Type: String, DefaultDoc: "the name of the source connector", Example: "to-2.6",
		Doc: "The migration's name, under which its state is kept on the topic __waltap-migrations (docs/migrate.md).",
		set: into(checkedName, func(t *target) *string { return &t.process.Migration.Name }),
	},
	{
		Name: "migration.waves.<wave>", Part: "first", Scope: InProcess, Type: RegexList, DefaultDoc: "one wave with all tables", Example: "default:orders, shop:.*",
		Doc:   "Tables that are copied, verified and cut over together, written as table.include.list. Each wave has a source, a peer and a sink of its own, named after those of the file with -<wave> behind. Every table of table.include.list must be in one wave.",
		named: addWave,
	},
	{
		Name: "migration.freeze.max.ms", Scope: InProcess, Type: Milliseconds, Default: "3600000", Min: 1000, Max: maxMilliseconds,
		Doc: "How long writers may be kept waiting at a cut-over. waltap migrate cutover does not begin when it predicts more, and takes its fence away again when the gate is not green by then.",
		set: milliseconds(func(t *target) *time.Duration { return &t.process.Migration.MaxFreeze }),
	},
	{
		Name: "migration.fence", Scope: InProcess, Type: String, Default: "read-only", Values: []string{"read-only", "disable"},
		Doc: "How waltap migrate cutover keeps writers from the source's tables. read-only: by the table attribute READONLY, so that they can still be read and verified. disable: the tables are disabled once the final verify is through; until then they are read-only.",
		set: text(func(t *target) *FenceMode { return &t.process.Migration.Fence }),
	},
}

func checkedName(s string) (string, error) {
	if !connectorName.MatchString(s) {
		return "", fmt.Errorf("%q is no name of a migration: want letters, digits, '.', '_' and '-'", s)
	}
	return s, checkName(s)
}

func addWave(t *target, name, value string) error {
	if !connectorName.MatchString(name) {
		return fmt.Errorf("%q is no name of a wave: want letters, digits, '.', '_' and '-'", name)
	}
	patterns, err := ParseTablePatterns(value)
	if err != nil {
		return err
	}
	m := &t.process.Migration
	m.Waves = append(m.Waves, Wave{Name: name, Tables: patterns, List: value})
	return nil
}
