package schema

// AvroSchema is the one schema of all data records. Columns are data in it,
// not fields, so a table's columns may come and go without a new schema.
const AvroSchema = `{
  "type": "record",
  "name": "Change",
  "namespace": "io.waltap",
  "doc": "What one WAL edit, or one scan, says about one row of an HBase table. Applied to an empty HBase in order, changes give the same cells.",
  "fields": [
    {
      "name": "op",
      "type": {"type": "enum", "name": "Op", "symbols": ["put", "update", "delete"]},
      "doc": "put: every cell is a Put. delete: every cell is a DeleteFamily. update: anything else. Derived from cells, which alone decide what is applied."
    },
    {"name": "table", "type": "string", "doc": "Full table name, namespace:table, also for the namespace default."},
    {"name": "row", "type": "bytes", "doc": "Row key. The same bytes are the Kafka key."},
    {
      "name": "cells",
      "doc": "Cells and delete markers in the order HBase wrote them.",
      "type": {
        "type": "array",
        "items": {
          "type": "record",
          "name": "Cell",
          "fields": [
            {"name": "family", "type": "bytes", "doc": "Column family."},
            {"name": "qualifier", "type": "bytes", "doc": "Column qualifier. Empty for DeleteFamily and DeleteFamilyVersion."},
            {"name": "timestamp", "type": "long", "doc": "The cell's version: milliseconds since 1970 unless the writer chose otherwise. Any 64-bit value."},
            {
              "name": "type",
              "type": {"type": "enum", "name": "CellType", "symbols": ["Put", "Delete", "DeleteColumn", "DeleteFamily", "DeleteFamilyVersion"]},
              "doc": "Put: a value. Delete: deletes the one version at timestamp. DeleteColumn: all versions at or before it. DeleteFamily: all cells of the family at or before it. DeleteFamilyVersion: the cells of the family at exactly that timestamp."
            },
            {"name": "value", "type": "bytes", "doc": "Value. Usually empty for delete markers."},
            {
              "name": "tags",
              "doc": "HBase cell tags, such as a TTL (type 8) or a visibility label (type 2).",
              "type": {
                "type": "array",
                "items": {
                  "type": "record",
                  "name": "Tag",
                  "fields": [
                    {"name": "type", "type": "int", "doc": "Tag type, 0 to 255. -1, last in the list only: value is the rest of a tag list that is not well-formed, unchanged."},
                    {"name": "value", "type": "bytes", "doc": "Tag value."}
                  ]
                }
              }
            }
          ]
        }
      }
    },
    {"name": "sequence", "type": "long", "doc": "HBase's log sequence number: rises along a row's life within one epoch of the table. 0 for scan records."},
    {"name": "ts", "type": "long", "doc": "Milliseconds since 1970: WAL write time, or the time of the scan's read."},
    {
      "name": "source",
      "doc": "Where the change was captured.",
      "type": {
        "type": "record",
        "name": "Source",
        "fields": [
          {"name": "version", "type": "string", "doc": "Version of the program that wrote the record."},
          {"name": "connector", "type": "string", "doc": "Name of the connector that wrote the record."},
          {"name": "cluster_id", "type": {"type": "fixed", "name": "Uuid", "size": 16}, "doc": "HBase cluster id the change was read from, big-endian."},
          {"name": "region", "type": "string", "doc": "Encoded name of the region that held the row."},
          {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["scan", "wal"]}, "doc": "scan: read by a scan of the table. wal: shipped by HBase's replication."},
          {"name": "origins", "type": {"type": "array", "items": "Uuid"}, "doc": "Ids of the clusters the change went through before it reached cluster_id, as its WAL entry lists them."},
          {"name": "epoch", "type": "long", "doc": "Raised at each gap in capture and each re-scan of the table. Sequences compare only within one epoch."}
        ]
      }
    }
  ]
}`

// avroFingerprint is the CRC-64-AVRO (Rabin) fingerprint of AvroSchema's
// parsing canonical form. Tests hold it against an independent implementation.
const avroFingerprint uint64 = 0x53b2a2928ca6f532

// AvroFingerprint is the CRC-64-AVRO (Rabin) fingerprint of AvroSchema's
// parsing canonical form, the name of the schema in single-object encoding.
func AvroFingerprint() uint64 { return avroFingerprint }

// AvroSchemas are all schemas that this release writes with, by their fingerprints.
func AvroSchemas() map[uint64]string {
	all := make(map[uint64]string)
	for _, text := range []string{AvroSchema, DebeziumAvroSchema, KeyAvroSchema} {
		all[avroFingerprintOf(text)] = text
	}
	return all
}
