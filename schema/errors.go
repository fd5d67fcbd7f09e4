package schema

import (
	"errors"
	"fmt"
)

// Faults of encoded records. Decoding wraps them in a *FieldError once the
// record's head has been accepted.
var (
	// ErrNotSingleObject: the bytes do not begin with Avro's single-object marker C3 01.
	ErrNotSingleObject = errors.New("no Avro single-object marker (C3 01) at the start: the record was not written by waltap or by another converter")
	// ErrTruncated: the record ends inside a field.
	ErrTruncated = errors.New("record ends early")
	// ErrTrailingBytes: bytes follow the last field.
	ErrTrailingBytes = errors.New("bytes after the end of the record")
	// ErrOutOfRange: a length, count, enum symbol or number the schema does not allow.
	ErrOutOfRange = errors.New("out of range")
	// ErrNotUTF8: a string holds bytes that are not UTF-8.
	ErrNotUTF8 = errors.New("not UTF-8")
)

// UnknownSchemaError says that a record was written with another schema than AvroSchema.
type UnknownSchemaError struct {
	Fingerprint uint64 // of the schema the record was written with
}

func (e *UnknownSchemaError) Error() string {
	return fmt.Sprintf("decode change: unknown schema with fingerprint %016x (known: %016x): written by a newer waltap or by another program; read it with the waltap version that wrote it or a later one", e.Fingerprint, avroFingerprint)
}

// FieldError says in which field of a record decoding stopped.
type FieldError struct {
	Field  string // path in AvroSchema, such as "cells.value"
	Offset int    // in the record's bytes
	Err    error  // ErrTruncated, ErrTrailingBytes, ErrOutOfRange or ErrNotUTF8
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("decode change: %s at byte %d: %v", e.Field, e.Offset, e.Err)
}

func (e *FieldError) Unwrap() error { return e.Err }
