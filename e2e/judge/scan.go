package judge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Cell is one cell. For mutations Timestamp 0 means that none is given; see
// TimestampZero.
type Cell struct {
	Row       []byte `json:"row,omitempty"`
	Family    []byte `json:"family"`
	Qualifier []byte `json:"qualifier"`
	Timestamp int64  `json:"timestamp"` // ms
	Type      string `json:"type"`      // Put, Delete, DeleteColumn, DeleteFamily, DeleteFamilyVersion
	Value     []byte `json:"value"`
	Tags      []byte `json:"tags"` // HBase's serialised list
}

// ScanOptions says which cells are read. The zero value reads everything: a raw scan
// of all versions, delete markers and tags included.
type ScanOptions struct {
	Visible         bool     `json:"visible"`                   // what clients see: all kept versions, no markers, nothing deleted
	Families        []string `json:"families,omitempty"`        // only these
	ExcludeFamilies []string `json:"excludeFamilies,omitempty"` // all but these
	MinTime         int64    `json:"minTime"`                   // ms, included
	MaxTime         int64    `json:"maxTime"`                   // ms, excluded; 0: no end
	StartRow        []byte   `json:"startRow"`                  // included
	StopRow         []byte   `json:"stopRow"`                   // excluded; empty: no end
}

// Checksum sums up the cells of a table. The table's name is not part of it.
type Checksum struct {
	Rows  int64
	Cells int64
	Types map[string]int64 // cells per type
	Sum   string           // over all parts of all cells, in HBase's order
}

// Equal tells whether the tables hold the same cells.
func (s Checksum) Equal(o Checksum) bool {
	return s.Rows == o.Rows && s.Cells == o.Cells && s.Sum == o.Sum
}

func (s Checksum) String() string {
	var types []string
	for _, t := range slices.Sorted(maps.Keys(s.Types)) {
		types = append(types, fmt.Sprintf("%s %d", t, s.Types[t]))
	}
	return fmt.Sprintf("%d rows, %d cells (%s), %s", s.Rows, s.Cells, strings.Join(types, ", "), s.Sum)
}

// Checksum reads a table and sums it up.
func (c *Cluster) Checksum(ctx context.Context, table string, o ScanOptions) (Checksum, error) {
	var s Checksum
	err := c.call(ctx, "checksum", fields{"table": table, "options": o}, &s)
	return s, err
}

// Diff compares a table with another one, cell by cell, and describes at most limit
// differences: "-cell" for one that is only here, "+cell" only there. None means
// that the tables are equal.
func (c *Cluster) Diff(ctx context.Context, table string, other *Cluster, otherTable string, o ScanOptions, limit int) ([]string, error) {
	var r struct{ Lines []string }
	err := c.call(ctx, "diff", fields{"table": table, "otherCluster": other.key, "otherTable": otherTable,
		"options": o, "limit": limit}, &r)
	return r.Lines, err
}

// AwaitEqual compares the two tables until they are equal. At the end of ctx the
// error shows how they differ.
func (c *Cluster) AwaitEqual(ctx context.Context, table string, other *Cluster, otherTable string, o ScanOptions) error {
	for {
		began := time.Now()
		equal, err := c.equal(ctx, table, other, otherTable, o)
		if equal {
			return nil
		}
		if err == nil {
			select {
			case <-ctx.Done():
			case <-time.After(max(300*time.Millisecond, 3*time.Since(began))): // what is compared needs the CPU, too
				continue
			}
		}
		if ctx.Err() == nil {
			return err
		}
		return c.unequal(ctx, table, other, otherTable, o)
	}
}

func (c *Cluster) equal(ctx context.Context, table string, other *Cluster, otherTable string, o ScanOptions) (bool, error) {
	here, err := c.Checksum(ctx, table, o)
	if err != nil {
		return false, err
	}
	there, err := other.Checksum(ctx, otherTable, o)
	return err == nil && here.Equal(there), err
}

// unequal says, after ctx has ended, in what the tables differ.
func (c *Cluster) unequal(ended context.Context, table string, other *Cluster, otherTable string, o ScanOptions) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ended), 4*time.Minute)
	defer cancel()
	here, err := c.Checksum(ctx, table, o)
	if err != nil {
		return err
	}
	there, err := other.Checksum(ctx, otherTable, o)
	if err != nil {
		return err
	}
	lines, err := c.Diff(ctx, table, other, otherTable, o, 20)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s and %s differ:\n-%s\n+%s\n%s", context.Cause(ended), table, otherTable,
		here, there, strings.Join(lines, "\n"))
}

// Cells reads a whole table, which must be small.
func (c *Cluster) Cells(ctx context.Context, table string, o ScanOptions) ([]Cell, error) {
	var r struct{ Cells []Cell }
	err := c.call(ctx, "cells", fields{"table": table, "options": o}, &r)
	return r.Cells, err
}

// ReadRow returns what a get of the row returns: the newest version of each column.
func (c *Cluster) ReadRow(ctx context.Context, table string, row []byte) ([]Cell, error) {
	return c.readRow(ctx, table, row, false)
}

// RawRow returns all cells of a row, markers and hidden versions included.
func (c *Cluster) RawRow(ctx context.Context, table string, row []byte) ([]Cell, error) {
	return c.readRow(ctx, table, row, true)
}

func (c *Cluster) readRow(ctx context.Context, table string, row []byte, raw bool) ([]Cell, error) {
	var r struct{ Cells []Cell }
	err := c.call(ctx, "read_row", fields{"table": table, "row": row, "raw": raw}, &r)
	return r.Cells, err
}

// CountRows counts the rows that clients see.
func (c *Cluster) CountRows(ctx context.Context, table string) (int64, error) {
	var r struct{ Rows int64 }
	err := c.call(ctx, "count_rows", fields{"table": table}, &r)
	return r.Rows, err
}
