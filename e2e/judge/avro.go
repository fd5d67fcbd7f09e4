package judge

import (
	"context"
	"encoding/json"
)

// AvroSchemas are what records are read with.
type AvroSchemas struct {
	SingleObject string            // of records in single-object encoding
	ByID         map[uint32]string // of those in Confluent's wire format
}

// DecodeAvro reads records with Avro's own Java library. Each is an object of its fields; bytes and fixed are base64, enums
// their symbols, unions what they hold.
func (j *Judge) DecodeAvro(ctx context.Context, s AvroSchemas, records [][]byte) ([]json.RawMessage, error) {
	var r struct{ Records []json.RawMessage }
	err := j.call(ctx, "avro_decode", fields{"schema": s.SingleObject, "schemas": s.ByID, "records": records}, &r)
	return r.Records, err
}

// AvroFingerprint is the CRC-64-AVRO fingerprint of a schema, 16 hexadecimal digits.
func (j *Judge) AvroFingerprint(ctx context.Context, schema string) (string, error) {
	var r struct{ Fingerprint string }
	err := j.call(ctx, "avro_fingerprint", fields{"schema": schema}, &r)
	return r.Fingerprint, err
}
