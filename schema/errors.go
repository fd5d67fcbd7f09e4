package schema

import (
	"errors"
	"fmt"
)

// Faults of encoded records. Decoding wraps them in a *FieldError once the
// record's head has been accepted.
var (
	// ErrForeign: the bytes are of none of the encodings that waltap writes. A record without a value is one.
	ErrForeign = errors.New("decode change: neither Avro (C3 01 or 00 at the start) nor JSON: the record was not written by waltap, or by another converter")
	// ErrTruncated: the record ends inside a field.
	ErrTruncated = errors.New("record ends early")
	// ErrTrailingBytes: bytes follow the last field.
	ErrTrailingBytes = errors.New("bytes after the end of the record")
	// ErrOutOfRange: a length, count, enum symbol or number the schema does not allow.
	ErrOutOfRange = errors.New("out of range")
	// ErrNotUTF8: a string holds bytes that are not UTF-8.
	ErrNotUTF8 = errors.New("not UTF-8")
	// ErrNewer: a value, or a format, of a newer release, without which the change cannot be applied.
	ErrNewer = errors.New("this release does not know it: upgrade waltap")
	// ErrMissing: a field that every change has is not there.
	ErrMissing = errors.New("missing: the record was not written by waltap")
	// ErrTwice: bytes that are there both as base64 and as text.
	ErrTwice = errors.New("there both as base64 and as text: the record was not written by waltap")
	// ErrImages: an envelope that holds a row both before and after, or neither.
	ErrImages = errors.New("want a row in either before or after: the record was not written by waltap")
)

// UnknownSchemaError says that a record was written with a schema that the Decoder has not been told, see Writers.
type UnknownSchemaError struct{ Schema SchemaRef }

func (e *UnknownSchemaError) Error() string {
	if e.Schema.InRegistry {
		return fmt.Sprintf("decode change: it was written with %s, which is not known: set value.converter.schema.registry.url to that registry", e.Schema)
	}
	return fmt.Sprintf("decode change: it was written with %s, which is not known (own: %016x): by a newer waltap or by another program; read it with the waltap version that wrote it or a later one", e.Schema, avroFingerprint)
}

// ForeignSchemaError says that a record was written with a schema that is not one of waltap's change records.
type ForeignSchemaError struct {
	Schema SchemaRef
	Err    error
}

func (e *ForeignSchemaError) Error() string {
	return fmt.Sprintf("decode change: %s is not that of a waltap record: %v", e.Schema, e.Err)
}

func (e *ForeignSchemaError) Unwrap() error { return e.Err }

// FieldError says in which field of a record decoding stopped.
type FieldError struct {
	Field  string // path in the record, such as "cells.value"
	Offset int    // in the record's bytes; -1: not known
	Err    error  // ErrTruncated, ErrTrailingBytes, ErrOutOfRange, ErrNotUTF8, ErrNewer …
}

func (e *FieldError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("decode change: %s: %v", e.Field, e.Err)
	}
	return fmt.Sprintf("decode change: %s at byte %d: %v", e.Field, e.Offset, e.Err)
}

func (e *FieldError) Unwrap() error { return e.Err }
