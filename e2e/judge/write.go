package judge

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"time"
)

// TimestampZero as a mutation's timestamp writes the timestamp 0, where 0 itself
// means that none is given.
const TimestampZero = math.MinInt64

// Mutation is one write to one row. Make it with Put, DeleteColumn and so on, and
// change what these leave open.
type Mutation struct {
	Kind       string            // put, delete, increment, append, atomic
	Row        []byte            //
	Cells      []Cell            // none in a delete: the whole row
	TTL        time.Duration     // of a put
	Parts      []Mutation        // of an atomic one: puts and deletes
	Attributes map[string][]byte // client attributes
	ClusterIDs []string          // clusters the mutation went through, as replication sets them
	SkipWAL    bool
}

// MarshalJSON writes the mutation for the Java part.
func (m Mutation) MarshalJSON() ([]byte, error) {
	type cell struct {
		Cell
		Timed bool `json:"timed"`
	}
	cells := make([]cell, len(m.Cells))
	for i, c := range m.Cells {
		cells[i] = cell{c, c.Timestamp != 0}
		if c.Timestamp == TimestampZero {
			cells[i].Timestamp = 0
		}
	}
	return json.Marshal(fields{"kind": m.Kind, "row": m.Row, "cells": cells, "ttl": m.TTL.Milliseconds(),
		"parts": m.Parts, "attributes": m.Attributes, "clusterIDs": m.ClusterIDs, "skipWAL": m.SkipWAL})
}

// WithTTL gives a put a time to live.
func (m Mutation) WithTTL(d time.Duration) Mutation {
	m.TTL = d
	return m
}

func mutation(kind, row string, c Cell) Mutation {
	return Mutation{Kind: kind, Row: []byte(row), Cells: []Cell{c}}
}

// Put writes a cell at the server's time.
func Put(row, family, qualifier, value string) Mutation {
	return PutAt(row, family, qualifier, 0, value)
}

// PutAt writes a cell at a time in ms.
func PutAt(row, family, qualifier string, ts int64, value string) Mutation {
	return mutation("put", row, Cell{Family: []byte(family), Qualifier: []byte(qualifier), Timestamp: ts, Value: []byte(value)})
}

// DeleteVersion deletes the version of a column at ts, 0 for the newest.
func DeleteVersion(row, family, qualifier string, ts int64) Mutation {
	return mutation("delete", row, Cell{Family: []byte(family), Qualifier: []byte(qualifier), Timestamp: ts, Type: "Delete"})
}

// DeleteColumn deletes the versions of a column up to ts, 0 for all.
func DeleteColumn(row, family, qualifier string, ts int64) Mutation {
	return mutation("delete", row, Cell{Family: []byte(family), Qualifier: []byte(qualifier), Timestamp: ts, Type: "DeleteColumn"})
}

// DeleteFamily deletes the cells of a family up to ts, 0 for all.
func DeleteFamily(row, family string, ts int64) Mutation {
	return mutation("delete", row, Cell{Family: []byte(family), Timestamp: ts, Type: "DeleteFamily"})
}

// DeleteFamilyVersion deletes the cells of a family at exactly ts.
func DeleteFamilyVersion(row, family string, ts int64) Mutation {
	return mutation("delete", row, Cell{Family: []byte(family), Timestamp: ts, Type: "DeleteFamilyVersion"})
}

// DeleteRow deletes all families of a row.
func DeleteRow(row string) Mutation { return Mutation{Kind: "delete", Row: []byte(row)} }

// Increment adds n to a counter.
func Increment(row, family, qualifier string, n int64) Mutation {
	return mutation("increment", row, Cell{Family: []byte(family), Qualifier: []byte(qualifier),
		Value: binary.BigEndian.AppendUint64(nil, uint64(n))})
}

// Append appends to a cell's value.
func Append(row, family, qualifier, value string) Mutation {
	return mutation("append", row, Cell{Family: []byte(family), Qualifier: []byte(qualifier), Value: []byte(value)})
}

// Atomic applies puts and deletes of one row together; HBase logs them as one WAL
// entry.
func Atomic(row string, parts ...Mutation) Mutation {
	return Mutation{Kind: "atomic", Row: []byte(row), Parts: parts}
}

// Write applies the mutations one after the other, each acknowledged before the next
// is sent.
func (c *Cluster) Write(ctx context.Context, table string, mutations ...Mutation) error {
	return c.call(ctx, "write", fields{"table": table, "mutations": mutations}, nil)
}

// LoadSpec describes a table's content; the same spec always gives the same cells.
type LoadSpec struct {
	Rows       int64    `json:"rows"`
	FirstRow   int64    `json:"firstRow"` // number of the first row, to add to a table
	Seed       int64    `json:"seed"`
	Families   []string `json:"families"`
	Columns    int      `json:"columns"`    // per family; default 1
	Versions   int      `json:"versions"`   // default 1; written in that many passes
	ValueSize  int      `json:"valueSize"`  // bytes, random
	BinaryKeys bool     `json:"binaryKeys"` // keys of any bytes and several lengths; else 16 hex digits
	BaseTime   int64    `json:"baseTime"`   // version v is written at BaseTime+v ms; 0: at the server's time
	Singly     bool     `json:"singly"`     // a call, and a WAL edit, for each row, many at once; else in batches of 4 MiB
}

// LoadResult is what was written.
type LoadResult struct {
	Rows    int64
	Cells   int64
	Elapsed time.Duration
}

// Load writes a table fast, in batches.
func (c *Cluster) Load(ctx context.Context, table string, s LoadSpec) (LoadResult, error) {
	var r struct{ Rows, Cells, ElapsedMS int64 }
	err := c.callWith(ctx, "load", table, s, &r)
	return LoadResult{r.Rows, r.Cells, time.Duration(r.ElapsedMS) * time.Millisecond}, err
}

// MutatorSpec describes a random writer: puts of one to three cells, increments,
// appends and deletes of every kind, a quarter of them with timestamps out of a
// small set so that versions meet and are rewritten.
type MutatorSpec struct {
	Families    []string `json:"families"`
	Keys        int      `json:"keys"` // number of rows
	Seed        int64    `json:"seed"`
	Rate        int      `json:"rate"`        // writes a second; 0: as fast as they are acknowledged
	Threads     int      `json:"threads"`     // default 1; each writes rows of its own
	ServerTimes bool     `json:"serverTimes"` // every cell and marker bears the server's time: no deletes of one version
	ValueSize   int      `json:"valueSize"`
}

// Mutator is a running random writer.
type Mutator struct {
	cluster *Cluster
	handle  int64
}

// MutatorStats counts what a random writer did.
type MutatorStats struct {
	Acked     int64            // acknowledged by HBase
	Failed    int64            // with an unknown outcome
	ByKind    map[string]int64 // of the acknowledged: put, increment, append, Delete, DeleteColumn, DeleteFamily, DeleteFamilyVersion, deleteRow
	LastError string           // of the failed
}

// StartMutator starts a random writer; it goes on over restarts of the cluster.
func (c *Cluster) StartMutator(ctx context.Context, table string, s MutatorSpec) (*Mutator, error) {
	var r struct{ Handle int64 }
	if err := c.callWith(ctx, "mutator_start", table, s, &r); err != nil {
		return nil, err
	}
	return &Mutator{cluster: c, handle: r.Handle}, nil
}

// Stats returns the counts so far.
func (m *Mutator) Stats(ctx context.Context) (MutatorStats, error) {
	var s MutatorStats
	err := m.cluster.call(ctx, "mutator_stats", fields{"handle": m.handle}, &s)
	return s, err
}

// Stop stops the writer, waits for the write in hand, and returns the final counts.
// It may be called once.
func (m *Mutator) Stop(ctx context.Context) (MutatorStats, error) {
	var s MutatorStats
	err := m.cluster.call(ctx, "mutator_stop", fields{"handle": m.handle}, &s)
	return s, err
}

// callWith sends the fields of a struct as the request.
func (c *Cluster) callWith(ctx context.Context, cmd, table string, spec, result any) error {
	b, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	values := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &values); err != nil {
		return err
	}
	request := fields{"table": table}
	for k, v := range values {
		request[k] = v
	}
	return c.call(ctx, cmd, request, result)
}
