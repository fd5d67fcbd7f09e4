package schema

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// SchemaRef names the schema that an Avro record was written with, as the record's head does.
type SchemaRef struct {
	InRegistry  bool
	ID          uint32 // in the schema registry
	Fingerprint uint64 // CRC-64-AVRO, when not InRegistry
}

func (r SchemaRef) String() string {
	if r.InRegistry {
		return fmt.Sprintf("schema %d of the registry", r.ID)
	}
	return fmt.Sprintf("the schema with fingerprint %016x", r.Fingerprint)
}

// Writers holds the schemas that records were written with, beside those of this release. Decoders share it; it is
// safe for concurrent use. The zero value is ready for use.
type Writers struct {
	mu    sync.Mutex
	known atomic.Pointer[map[SchemaRef]*writer]
}

// writer is how records of one schema are read.
type writer struct {
	own      bool   // AvroSchema itself
	envelope bool   // of Debezium's shape
	fields   []step // of the record, in the order they were written
	err      error  // they cannot be read
}

// Add makes records of ref readable, which were written with the Avro schema text. Fields that this release does not know
// are passed over, those that it misses get their zero value.
//
// The error, a *ForeignSchemaError, says that the records are none of waltap's; Decode then returns it for each of them.
func (w *Writers) Add(ref SchemaRef, text string) error {
	nw := newWriter(ref, text)
	w.mu.Lock()
	defer w.mu.Unlock()
	next := map[SchemaRef]*writer{ref: nw}
	if p := w.known.Load(); p != nil {
		for k, v := range *p {
			if k != ref {
				next[k] = v
			}
		}
	}
	w.known.Store(&next)
	return nw.err
}

// get returns nil for a schema that was not added. w may be nil.
func (w *Writers) get(ref SchemaRef) *writer {
	if w != nil {
		if p := w.known.Load(); p != nil {
			if found := (*p)[ref]; found != nil {
				return found
			}
		}
	}
	if !ref.InRegistry {
		return ownWriters()[ref.Fingerprint]
	}
	return nil
}

// ownWriters are the schemas of change records that this release writes, by fingerprint.
var ownWriters = sync.OnceValue(func() map[uint64]*writer {
	own := make(map[uint64]*writer)
	for _, text := range []string{AvroSchema, DebeziumAvroSchema} {
		f := avroFingerprintOf(text)
		own[f] = newWriter(SchemaRef{Fingerprint: f}, text)
	}
	return own
})

func newWriter(ref SchemaRef, text string) *writer {
	t, err := parseAvroType(text)
	if err == nil && !ref.InRegistry && t.fingerprint() != ref.Fingerprint {
		err = fmt.Errorf("its fingerprint is %016x", t.fingerprint())
	}
	w := &writer{}
	if err == nil {
		if w.own = t.fingerprint() == avroFingerprint; !w.own {
			err = w.bind(t)
		}
	}
	if err != nil {
		w.err = &ForeignSchemaError{Schema: ref, Err: err}
	}
	return w
}

// avroFingerprintOf is the CRC-64-AVRO fingerprint of a schema of this release.
func avroFingerprintOf(text string) uint64 {
	t, err := parseAvroType(text)
	if err != nil {
		panic(err) // a constant
	}
	return t.fingerprint()
}
