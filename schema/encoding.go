package schema

import "encoding/binary"

// Encoder writes changes as values, or as keys, of Kafka records. It may be used by several goroutines at once.
type Encoder interface {
	// Append appends the encoding of c and returns the extended slice. It allocates only when dst has no room. c must
	// pass Change.Validate; of a Change that does not, the bytes may be refused by Decoder.Decode.
	Append(dst []byte, c *Change) []byte
}

// Encoding is how a record's value begins, and so how it is read.
type Encoding string

// The encodings that a Decoder tells apart.
const (
	SingleObject Encoding = "avro"           // Avro, its schema named by a fingerprint
	Confluent    Encoding = "avro, registry" // Avro, its schema named by the id in a registry
	JSON         Encoding = "json"
)

// EncodingOf tells the encoding of a record's value by its first bytes; "" for none of them.
func EncodingOf(b []byte) Encoding {
	switch {
	case len(b) >= 2 && b[0] == singleObjectMarker0 && b[1] == singleObjectMarker1:
		return SingleObject
	case len(b) > 0 && b[0] == confluentMarker:
		return Confluent
	case len(b) > 0 && b[0] == '{':
		return JSON
	}
	return ""
}

// Heads of Avro records.
//
// Single-object encoding: C3 01, fingerprint as 8 bytes little-endian, body.
// https://avro.apache.org/docs/1.12.0/specification/#single-object-encoding
//
// Confluent's wire format: 00, schema id as 4 bytes big-endian, body.
// https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
const (
	singleObjectMarker0 = 0xC3
	singleObjectMarker1 = 0x01
	singleObjectHead    = 2 + 8
	confluentMarker     = 0x00
	confluentHead       = 1 + 4
)

// Head is what goes before the body of an Avro record.
type Head []byte

// SingleObjectHead is the head of records of one of this package's Avro schemas.
func SingleObjectHead(text string) Head {
	return binary.LittleEndian.AppendUint64(Head{singleObjectMarker0, singleObjectMarker1}, avroFingerprintOf(text))
}

// ConfluentHead is the head of records whose schema has the id in the registry.
func ConfluentHead(id uint32) Head {
	return binary.BigEndian.AppendUint32(Head{confluentMarker}, id)
}

// AvroEncoder writes values of AvroSchema.
type AvroEncoder struct{ Head Head }

// Append implements Encoder.
func (e AvroEncoder) Append(dst []byte, c *Change) []byte {
	return appendChange(append(dst, e.Head...), c)
}

// JSONEncoder writes values as JSON of this shape:
//
//	{"format": 1, "op": "put", "table": "shop:orders", "row": "cm93LTE=",
//	 "cells": [{"family": "ZA==", "qualifier": "dG90YWw=", "timestamp": 1790000000000, "type": "Put", "value": "OS45OQ==",
//	            "tags": [{"type": 8, "value": "AAAAAAABhqA="}]}],
//	 "sequence": 4711, "ts": 1790000000123,
//	 "source": {"version": "0.1.0", "connector": "orders-source", "cluster_id": "5f1c7d7e-3b0a-4c58-9d41-0a8e6b2f9c11",
//	            "region": "1588230740", "kind": "wal", "origins": [], "epoch": 1}}
//
// The fields are those of AvroSchema. Bytes are base64-encoded; tags are left out when there are none.
type JSONEncoder struct {
	// Text writes bytes that are text as they are, in a field with Text at the end of its name: "rowText": "row-1".
	Text bool
	// Schema puts {"schema": …, "payload": …} around, which tells Kafka Connect's JsonConverter the types.
	Schema bool
}

// Append implements Encoder.
func (e JSONEncoder) Append(dst []byte, c *Change) []byte {
	if !e.Schema {
		return appendJSON(dst, c, e.Text)
	}
	return append(appendJSON(append(dst, connectHead(connectChange, e.Text)...), c, e.Text), '}')
}
