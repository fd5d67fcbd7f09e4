package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// avroType is a parsed Avro schema: what is needed to read, or to pass over, what was written with it.
type avroType struct {
	kind     avroKind
	name     string      // full name of a record, enum or fixed
	fields   []avroField // of a record
	symbols  []string    // of an enum
	items    *avroType   // of an array or a map
	branches []*avroType // of a union
	size     int         // of a fixed
	noBytes  bool        // all values are empty
}

type avroField struct {
	name string
	typ  *avroType
}

// avroKind is the word a schema has for a type.
type avroKind byte

const (
	avroNull avroKind = iota
	avroBoolean
	avroInt
	avroLong
	avroFloat
	avroDouble
	avroBytes
	avroString
	avroRecord
	avroEnum
	avroArray
	avroMap
	avroUnion
	avroFixed
)

var avroKinds = [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum", "array", "map", "union", "fixed"}

func (k avroKind) String() string { return avroKinds[k] }

// maxAvroDepth bounds how deep types may be nested, in a schema and in data of recursive types.
const maxAvroDepth = 64

var errAvroDepth = errors.New("types are nested too deep")

// parseAvroType reads an Avro schema as JSON. Logical types, aliases, docs and defaults are passed over.
func parseAvroType(text string) (*avroType, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("parse Avro schema: %w", err)
	}
	p := avroParser{named: make(map[string]*avroType)}
	t, err := p.parse(v, "", 0)
	if err != nil {
		return nil, fmt.Errorf("parse Avro schema: %w", err)
	}
	return t, nil
}

type avroParser struct{ named map[string]*avroType }

func (p *avroParser) parse(v any, namespace string, depth int) (*avroType, error) {
	if depth > maxAvroDepth {
		return nil, errAvroDepth
	}
	switch v := v.(type) {
	case string:
		return p.byName(v, namespace)
	case []any:
		t := &avroType{kind: avroUnion}
		for _, b := range v {
			branch, err := p.parse(b, namespace, depth+1)
			if err != nil {
				return nil, err
			}
			t.branches = append(t.branches, branch)
		}
		return t, nil
	case map[string]any:
		return p.parseObject(v, namespace, depth)
	}
	return nil, fmt.Errorf("%v is no type", v)
}

func (p *avroParser) byName(name, namespace string) (*avroType, error) {
	for k, text := range avroKinds[:avroRecord] {
		if name == text {
			return &avroType{kind: avroKind(k), noBytes: avroKind(k) == avroNull}, nil
		}
	}
	if t, ok := p.named[fullAvroName(name, namespace)]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("type %q is not defined", name)
}

func fullAvroName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func (p *avroParser) parseObject(o map[string]any, namespace string, depth int) (*avroType, error) {
	kind, ok := o["type"].(string)
	if !ok {
		return p.parse(o["type"], namespace, depth+1)
	}
	switch kind {
	case "array", "map":
		items, t := o["items"], &avroType{kind: avroArray}
		if kind == "map" {
			items, t.kind = o["values"], avroMap
		}
		var err error
		t.items, err = p.parse(items, namespace, depth+1)
		return t, err
	case "record", "error", "enum", "fixed":
		return p.parseNamed(kind, o, namespace, depth)
	}
	return p.byName(kind, namespace)
}

func (p *avroParser) parseNamed(kind string, o map[string]any, namespace string, depth int) (*avroType, error) {
	name, _ := o["name"].(string)
	if name == "" {
		return nil, fmt.Errorf("%s without a name", kind)
	}
	if ns, ok := o["namespace"].(string); ok {
		namespace = ns
	}
	t := &avroType{name: fullAvroName(name, namespace)}
	namespace = t.name[:max(0, strings.LastIndexByte(t.name, '.'))]
	if p.named[t.name] != nil {
		return nil, fmt.Errorf("type %q is defined twice", t.name)
	}
	p.named[t.name] = t
	switch kind {
	case "enum":
		t.kind = avroEnum
		return t, t.parseSymbols(o)
	case "fixed":
		t.kind = avroFixed
		size, ok := o["size"].(float64)
		if t.size = int(size); !ok || t.size < 0 || float64(t.size) != size {
			return nil, fmt.Errorf("fixed %q without a size", t.name)
		}
		t.noBytes = t.size == 0
		return t, nil
	}
	t.kind = avroRecord
	return t, p.parseFields(t, o, namespace, depth)
}

func (t *avroType) parseSymbols(o map[string]any) error {
	symbols, ok := o["symbols"].([]any)
	for _, s := range symbols {
		text, isText := s.(string)
		ok = ok && isText
		t.symbols = append(t.symbols, text)
	}
	if !ok {
		return fmt.Errorf("enum %q without symbols", t.name)
	}
	return nil
}

func (p *avroParser) parseFields(t *avroType, o map[string]any, namespace string, depth int) error {
	fields, ok := o["fields"].([]any)
	if !ok {
		return fmt.Errorf("record %q without fields", t.name)
	}
	noBytes := true
	for _, f := range fields {
		field, _ := f.(map[string]any)
		name, _ := field["name"].(string)
		if name == "" {
			return fmt.Errorf("record %q: field without a name", t.name)
		}
		typ, err := p.parse(field["type"], namespace, depth+1)
		if err != nil {
			return fmt.Errorf("field %s of %q: %w", name, t.name, err)
		}
		t.fields = append(t.fields, avroField{name, typ})
		noBytes = noBytes && typ.noBytes
	}
	t.noBytes = noBytes
	return nil
}

// fingerprint is the CRC-64-AVRO (Rabin) fingerprint of the type's parsing canonical form.
// https://avro.apache.org/docs/1.12.0/specification/#schema-fingerprints
func (t *avroType) fingerprint() uint64 {
	const empty = 0xc15d213aa4d7a795
	f := uint64(empty)
	for _, x := range t.appendCanonical(nil, make(map[*avroType]bool)) {
		f ^= uint64(x)
		for range 8 {
			f = f>>1 ^ empty&-(f&1)
		}
	}
	return f
}

// appendCanonical appends the parsing canonical form. A type that is in seen is written by its name.
func (t *avroType) appendCanonical(dst []byte, seen map[*avroType]bool) []byte {
	switch t.kind {
	case avroArray:
		return append(t.items.appendCanonical(append(dst, `{"type":"array","items":`...), seen), '}')
	case avroMap:
		return append(t.items.appendCanonical(append(dst, `{"type":"map","values":`...), seen), '}')
	case avroUnion:
		dst = append(dst, '[')
		for i, b := range t.branches {
			dst = b.appendCanonical(appendComma(dst, i), seen)
		}
		return append(dst, ']')
	case avroRecord, avroEnum, avroFixed:
	default:
		return appendQuoted(dst, t.kind.String())
	}
	if seen[t] {
		return appendQuoted(dst, t.name)
	}
	seen[t] = true
	dst = appendQuoted(append(dst, `{"name":`...), t.name)
	dst = appendQuoted(append(dst, `,"type":`...), t.kind.String())
	switch t.kind {
	case avroFixed:
		return fmt.Appendf(dst, `,"size":%d}`, t.size)
	case avroEnum:
		dst = append(dst, `,"symbols":[`...)
		for i, s := range t.symbols {
			dst = appendQuoted(appendComma(dst, i), s)
		}
		return append(dst, "]}"...)
	}
	dst = append(dst, `,"fields":[`...)
	for i, f := range t.fields {
		dst = appendQuoted(append(appendComma(dst, i), `{"name":`...), f.name)
		dst = append(f.typ.appendCanonical(append(dst, `,"type":`...), seen), '}')
	}
	return append(dst, "]}"...)
}

// appendComma appends the comma before an item that is not the first.
func appendComma(dst []byte, i int) []byte {
	if i == 0 {
		return dst
	}
	return append(dst, ',')
}

// skip passes over a value of type t.
func (r *reader) skip(t *avroType, depth int) {
	if depth > maxAvroDepth {
		r.fail("skipped", errAvroDepth)
	}
	if r.err != nil || t.noBytes {
		return
	}
	switch t.kind {
	case avroBoolean:
		r.next("skipped", 1)
	case avroInt, avroLong, avroEnum:
		r.long("skipped")
	case avroFloat:
		r.next("skipped", 4)
	case avroDouble:
		r.next("skipped", 8)
	case avroBytes, avroString:
		r.bytes("skipped")
	case avroFixed:
		r.next("skipped", int64(t.size))
	case avroRecord:
		for _, f := range t.fields {
			r.skip(f.typ, depth+1)
		}
	case avroUnion:
		if b := r.branch("skipped", t); b != nil {
			r.skip(b, depth+1)
		}
	case avroArray, avroMap:
		r.skipItems(t, depth)
	}
}

func (r *reader) skipItems(t *avroType, depth int) {
	empty := t.kind == avroArray && t.items.noBytes
	for {
		n, end := r.blockOf("skipped", empty)
		if n == 0 {
			return
		}
		if end >= 0 {
			r.off = end
			continue
		}
		for i := 0; i < n && !empty && r.err == nil; i++ {
			if t.kind == avroMap {
				r.bytes("skipped")
			}
			r.skip(t.items, depth+1)
		}
	}
}

// blockOf is block for items of one byte at least, or of none.
func (r *reader) blockOf(field string, empty bool) (n, end int) {
	if !empty {
		return r.block(field, 1)
	}
	count := r.long(field)
	if count < 0 {
		r.long(field)
	}
	return int(min(max(count, -count), 1)), -1
}

// branch reads which branch of union t follows; nil on a fault.
func (r *reader) branch(field string, t *avroType) *avroType {
	i := r.symbol(field, int64(len(t.branches)))
	if r.err != nil {
		return nil
	}
	return t.branches[i]
}
