package schema

import (
	"strconv"
	"time"
)

// DebeziumAvroSchema is the schema of DebeziumAvroEncoder's records.
const DebeziumAvroSchema = `{
  "type": "record",
  "name": "Envelope",
  "namespace": "io.waltap.debezium",
  "doc": "What one WAL edit, or one scan, says about one row of an HBase table, in the shape of Debezium's events.",
  "fields": [
    {
      "name": "before",
      "type": ["null", {
        "type": "record",
        "name": "Value",
        "fields": [
          {"name": "row", "type": "bytes", "doc": "Row key."},
          {
            "name": "cells",
            "doc": "The cells and delete markers of the edit in the order HBase wrote them; not the whole row.",
            "type": {
              "type": "array",
              "items": {
                "type": "record",
                "name": "Cell",
                "fields": [
                  {"name": "family", "type": "bytes"},
                  {"name": "qualifier", "type": "bytes"},
                  {"name": "timestamp", "type": "long"},
                  {"name": "type", "type": {"type": "enum", "name": "CellType", "symbols": ["Put", "Delete", "DeleteColumn", "DeleteFamily", "DeleteFamilyVersion"]}},
                  {"name": "value", "type": "bytes"},
                  {"name": "tags", "type": {"type": "array", "items": {"type": "record", "name": "Tag", "fields": [
                    {"name": "type", "type": "int"},
                    {"name": "value", "type": "bytes"}
                  ]}}}
                ]
              }
            }
          }
        ]
      }],
      "default": null,
      "doc": "With op d: the row and its DeleteFamily markers."
    },
    {"name": "after", "type": ["null", "Value"], "default": null, "doc": "With op c, u and r: the row and the cells."},
    {
      "name": "source",
      "type": {
        "type": "record",
        "name": "Source",
        "fields": [
          {"name": "version", "type": "string", "doc": "Version of waltap."},
          {"name": "connector", "type": "string", "doc": "hbase"},
          {"name": "name", "type": "string", "doc": "topic.prefix"},
          {"name": "ts_ms", "type": "long", "doc": "WAL write time, or the time of the scan's read."},
          {"name": "snapshot", "type": "string", "doc": "true: read by a scan of the table. false: shipped by HBase's replication."},
          {"name": "db", "type": "string", "doc": "Namespace."},
          {"name": "sequence", "type": ["null", "string"], "default": null},
          {"name": "table", "type": "string", "doc": "Table, without its namespace."},
          {"name": "connector_name", "type": "string"},
          {"name": "cluster_id", "type": "string", "doc": "HBase cluster id."},
          {"name": "region", "type": "string", "doc": "Encoded name of the region."},
          {"name": "seq", "type": "long", "doc": "HBase's log sequence number. 0 for scan records."},
          {"name": "origins", "type": {"type": "array", "items": "string"}, "doc": "Ids of the clusters the change went through before."},
          {"name": "epoch", "type": "long", "doc": "Sequences compare only within one epoch."}
        ]
      }
    },
    {"name": "transaction", "type": ["null", {"type": "record", "name": "Block", "fields": [
      {"name": "id", "type": "string"},
      {"name": "total_order", "type": "long"},
      {"name": "data_collection_order", "type": "long"}
    ]}], "default": null},
    {"name": "op", "type": "string", "doc": "c: every cell is a Put. u: anything else. d: every cell is a DeleteFamily. r: read by a scan."},
    {"name": "ts_ms", "type": ["null", "long"], "default": null, "doc": "When waltap wrote the record."}
  ]
}`

// Debezium says how records of Debezium's shape are written.
type Debezium struct {
	Name string       // of the source: topic.prefix
	Now  func() int64 // the time in ms since 1970; nil: the clock's
}

func (d *Debezium) now() int64 {
	if d.Now == nil {
		return time.Now().UnixMilli()
	}
	return d.Now()
}

// debeziumOp is "r" for scan records, else "c" (only puts: HBase does not tell a row's first put from others), "d"
// (only delete markers of families) or "u".
func debeziumOp(c *Change) string {
	switch op := c.Op(); {
	case c.Source.Kind == KindScan:
		return "r"
	case op == OpPut:
		return "c"
	case op == OpDelete:
		return "d"
	}
	return "u"
}

// DebeziumAvroEncoder writes values of DebeziumAvroSchema.
type DebeziumAvroEncoder struct {
	Debezium
	Head Head
}

// Append implements Encoder.
func (e *DebeziumAvroEncoder) Append(dst []byte, c *Change) []byte {
	op := debeziumOp(c)
	dst = append(dst, e.Head...)
	if op == "d" {
		dst = append(dst, 2)
		dst = append(appendCells(appendBytes(dst, c.Row), c.Cells), 0)
	} else {
		dst = append(dst, 0, 2)
		dst = appendCells(appendBytes(dst, c.Row), c.Cells)
	}
	s := &c.Source
	namespace, table := SplitTable(c.Table)
	dst = appendString(dst, s.Version)
	dst = appendString(dst, "hbase")
	dst = appendString(dst, e.Name)
	dst = appendLong(dst, c.Timestamp)
	dst = appendString(dst, debeziumSnapshot(s.Kind))
	dst = appendString(dst, namespace)
	dst = append(dst, 0) // sequence
	dst = appendString(dst, table)
	dst = appendString(dst, s.Connector)
	dst = appendUUID(appendLong(dst, uuidTextSize), s.ClusterID)
	dst = appendString(dst, s.Region)
	dst = appendLong(dst, int64(c.Sequence))
	if len(s.Origins) > 0 {
		dst = appendLong(dst, int64(len(s.Origins)))
		for _, u := range s.Origins {
			dst = appendUUID(appendLong(dst, uuidTextSize), u)
		}
	}
	dst = appendLong(append(dst, 0), s.Epoch)
	dst = append(dst, 0) // transaction
	dst = appendString(dst, op)
	return appendLong(append(dst, 2), e.now())
}

func debeziumSnapshot(k Kind) string {
	if k == KindScan {
		return "true"
	}
	return "false"
}

// DebeziumJSONEncoder writes values of Debezium's shape as JSON:
//
//	{"before": null,
//	 "after": {"row": "cm93LTE=", "cells": [{"family": "ZA==", "qualifier": "dG90YWw=", "timestamp": 1790000000000, "type": "Put", "value": "OS45OQ=="}]},
//	 "source": {"version": "0.1.0", "connector": "hbase", "name": "orders", "ts_ms": 1790000000123, "snapshot": "false", "db": "shop",
//	            "sequence": null, "table": "orders", "connector_name": "orders-source", "cluster_id": "5f1c7d7e-3b0a-4c58-9d41-0a8e6b2f9c11",
//	            "region": "1588230740", "seq": 4711, "origins": [], "epoch": 1},
//	 "transaction": null, "op": "c", "ts_ms": 1790000000150}
//
// The fields are those of DebeziumAvroSchema; cells are written as JSONEncoder does.
type DebeziumJSONEncoder struct {
	Debezium
	Text, Schema bool // see JSONEncoder
}

// Append implements Encoder.
func (e *DebeziumJSONEncoder) Append(dst []byte, c *Change) []byte {
	if !e.Schema {
		return e.append(dst, c)
	}
	return append(e.append(append(dst, connectHead(connectEnvelope, e.Text)...), c), '}')
}

func (e *DebeziumJSONEncoder) append(dst []byte, c *Change) []byte {
	op := debeziumOp(c)
	if op == "d" {
		dst = append(e.appendImage(append(dst, `{"before":`...), c), `,"after":null`...)
	} else {
		dst = e.appendImage(append(dst, `{"before":null,"after":`...), c)
	}
	s := &c.Source
	namespace, table := SplitTable(c.Table)
	dst = appendQuoted(append(dst, `,"source":{"version":`...), s.Version)
	dst = appendQuoted(append(dst, `,"connector":"hbase","name":`...), e.Name)
	dst = strconv.AppendInt(append(dst, `,"ts_ms":`...), c.Timestamp, 10)
	dst = append(append(dst, `,"snapshot":"`...), debeziumSnapshot(s.Kind)...)
	dst = appendQuoted(append(dst, `","db":`...), namespace)
	dst = appendQuoted(append(dst, `,"sequence":null,"table":`...), table)
	dst = appendQuoted(append(dst, `,"connector_name":`...), s.Connector)
	dst = appendUUID(append(dst, `,"cluster_id":"`...), s.ClusterID)
	dst = appendQuoted(append(dst, `","region":`...), s.Region)
	dst = strconv.AppendInt(append(dst, `,"seq":`...), int64(c.Sequence), 10)
	dst = appendJSONOrigins(append(dst, ','), s.Origins)
	dst = strconv.AppendInt(append(dst, `,"epoch":`...), s.Epoch, 10)
	dst = append(append(dst, `},"transaction":null,"op":"`...), op...)
	return append(strconv.AppendInt(append(dst, `","ts_ms":`...), e.now(), 10), '}')
}

func (e *DebeziumJSONEncoder) appendImage(dst []byte, c *Change) []byte {
	dst = appendJSONBytes(append(dst, '{'), "row", c.Row, e.Text)
	return append(appendJSONCells(append(dst, ','), c.Cells, e.Text), '}')
}
