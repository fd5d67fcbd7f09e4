package schema

import "encoding/binary"

// rawTagType marks a tag whose value is the part of a tag list that could not
// be parsed. The list stays lossless that way.
const rawTagType = -1

// AppendAvro appends c in single-object encoding (see AvroSchema) and returns
// the extended slice. It allocates only when dst has no room.
//
// c must pass Change.Validate; of a Change that does not, the bytes may be
// refused by DecodeAvro (a cell of an unknown type is never written as one of
// another type).
func AppendAvro(dst []byte, c *Change) []byte {
	dst = append(dst, singleObjectMarker0, singleObjectMarker1)
	return appendChange(binary.LittleEndian.AppendUint64(dst, avroFingerprint), c)
}

// appendChange appends the body of a record of AvroSchema.
func appendChange(dst []byte, c *Change) []byte {
	dst = appendLong(dst, int64(c.Op()))
	dst = appendString(dst, c.Table)
	dst = appendBytes(dst, c.Row)
	dst = appendCells(dst, c.Cells)
	dst = appendLong(dst, int64(c.Sequence))
	dst = appendLong(dst, c.Timestamp)
	return appendSource(dst, &c.Source)
}

func appendCells(dst []byte, cells []Cell) []byte {
	if len(cells) > 0 {
		dst = appendLong(dst, int64(len(cells)))
		for i := range cells {
			dst = appendCell(dst, &cells[i])
		}
	}
	return append(dst, 0)
}

func appendCell(dst []byte, k *Cell) []byte {
	dst = appendBytes(dst, k.Family)
	dst = appendBytes(dst, k.Qualifier)
	dst = appendLong(dst, k.Timestamp)
	dst = appendLong(dst, k.Type.symbol())
	dst = appendBytes(dst, k.Value)
	return appendTags(dst, k.Tags)
}

func appendSource(dst []byte, s *Source) []byte {
	dst = appendString(dst, s.Version)
	dst = appendString(dst, s.Connector)
	dst = append(dst, s.ClusterID[:]...)
	dst = appendString(dst, s.Region)
	dst = appendLong(dst, int64(s.Kind))
	if len(s.Origins) > 0 {
		dst = appendLong(dst, int64(len(s.Origins)))
		for i := range s.Origins {
			dst = append(dst, s.Origins[i][:]...)
		}
	}
	dst = append(dst, 0)
	return appendLong(dst, s.Epoch)
}

// appendTags writes HBase's serialised tag list as an Avro array of Tag.
func appendTags(dst, tags []byte) []byte {
	if len(tags) == 0 {
		return append(dst, 0)
	}
	dst = appendLong(dst, countTags(tags))
	for len(tags) > 0 {
		typ, value, rest := nextTag(tags)
		dst = appendLong(dst, typ)
		dst = appendBytes(dst, value)
		tags = rest
	}
	return append(dst, 0)
}

func countTags(tags []byte) int64 {
	var n int64
	for len(tags) > 0 {
		_, _, tags = nextTag(tags)
		n++
	}
	return n
}

// nextTag cuts the first tag off a list that is not empty. When it is not
// well-formed the whole rest is returned under rawTagType.
func nextTag(tags []byte) (typ int64, value, rest []byte) {
	if len(tags) >= 3 {
		end := 2 + int(binary.BigEndian.Uint16(tags))
		if end >= 3 && end <= len(tags) {
			return int64(tags[2]), tags[3:end], tags[end:]
		}
	}
	return rawTagType, tags, nil
}

// appendLong writes an Avro int, long, enum symbol, count or length: zigzag,
// then base 128 with the low groups first.
func appendLong(dst []byte, v int64) []byte {
	if u := uint64(v)<<1 ^ uint64(v>>63); u < 0x80 {
		return append(dst, byte(u))
	}
	return binary.AppendVarint(dst, v)
}

func appendBytes(dst, b []byte) []byte {
	return append(appendLong(dst, int64(len(b))), b...)
}

func appendString(dst []byte, s string) []byte {
	return append(appendLong(dst, int64(len(s))), s...)
}
