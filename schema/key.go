package schema

import "unicode/utf8"

// KeyAvroSchema is the schema of AvroKeyEncoder's keys.
const KeyAvroSchema = `{
  "type": "record",
  "name": "Key",
  "namespace": "io.waltap",
  "doc": "A row of an HBase table.",
  "fields": [{"name": "row", "type": "bytes", "doc": "Row key."}]
}`

// Keys are for other readers: waltap takes a row from the value, and the partition from the row's bytes, whatever the key.

// BytesKeyEncoder writes the row's bytes.
type BytesKeyEncoder struct{}

// Append implements Encoder.
func (BytesKeyEncoder) Append(dst []byte, c *Change) []byte { return append(dst, c.Row...) }

// StringKeyEncoder writes the row as text: UTF-8 as it is; backslashes, control characters and what is not UTF-8 as \xNN, as the
// HBase shell does. So each row has a text of its own.
type StringKeyEncoder struct{}

// Append implements Encoder.
func (StringKeyEncoder) Append(dst []byte, c *Change) []byte {
	for rest := c.Row; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 || r < ' ' || r == 0x7f || r == '\\' {
			dst = append(dst, '\\', 'x', upperHex[rest[0]>>4], upperHex[rest[0]&15])
		} else {
			dst = append(dst, rest[:n]...)
		}
		rest = rest[n:]
	}
	return dst
}

const upperHex = "0123456789ABCDEF"

// JSONKeyEncoder writes {"row": "cm93LTE="}.
type JSONKeyEncoder struct {
	Text, Schema bool // see JSONEncoder
}

// Append implements Encoder.
func (e JSONKeyEncoder) Append(dst []byte, c *Change) []byte {
	if e.Schema {
		dst = append(dst, connectHead(connectKey, e.Text)...)
	}
	dst = append(appendJSONBytes(append(dst, '{'), "row", c.Row, e.Text), '}')
	if e.Schema {
		dst = append(dst, '}')
	}
	return dst
}

// AvroKeyEncoder writes keys of KeyAvroSchema.
type AvroKeyEncoder struct{ Head Head }

// Append implements Encoder.
func (e AvroKeyEncoder) Append(dst []byte, c *Change) []byte {
	return appendBytes(append(dst, e.Head...), c.Row)
}
