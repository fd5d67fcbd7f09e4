package schema

import "strconv"

// JSONFormat is the version of the JSON shape that this release writes. It rises when an older release would misread
// records; fields that are merely added are passed over by it.
const JSONFormat = 1

// appendJSON appends c in the shape of JSONEncoder.
func appendJSON(dst []byte, c *Change, text bool) []byte {
	dst = strconv.AppendInt(append(dst, `{"format":`...), JSONFormat, 10)
	dst = append(append(dst, `,"op":"`...), opTexts[c.Op()]...)
	dst = appendQuoted(append(dst, `","table":`...), c.Table)
	dst = appendJSONBytes(append(dst, ','), "row", c.Row, text)
	dst = appendJSONCells(append(dst, ','), c.Cells, text)
	dst = strconv.AppendInt(append(dst, `,"sequence":`...), int64(c.Sequence), 10)
	dst = strconv.AppendInt(append(dst, `,"ts":`...), c.Timestamp, 10)
	s := &c.Source
	dst = appendQuoted(append(dst, `,"source":{"version":`...), s.Version)
	dst = appendQuoted(append(dst, `,"connector":`...), s.Connector)
	dst = append(appendUUID(append(dst, `,"cluster_id":"`...), s.ClusterID), '"')
	dst = appendQuoted(append(dst, `,"region":`...), s.Region)
	dst = append(append(dst, `,"kind":"`...), s.Kind.String()...)
	dst = appendJSONOrigins(append(dst, `",`...), s.Origins)
	return append(strconv.AppendInt(append(dst, `,"epoch":`...), s.Epoch, 10), "}}"...)
}

// appendJSONCells appends the field cells.
func appendJSONCells(dst []byte, cells []Cell, text bool) []byte {
	dst = append(dst, `"cells":[`...)
	for i := range cells {
		k := &cells[i]
		dst = append(appendComma(dst, i), '{')
		dst = appendJSONBytes(dst, "family", k.Family, text)
		dst = appendJSONBytes(append(dst, ','), "qualifier", k.Qualifier, text)
		dst = strconv.AppendInt(append(dst, `,"timestamp":`...), k.Timestamp, 10)
		dst = append(append(append(dst, `,"type":"`...), k.Type.String()...), `",`...)
		dst = appendJSONBytes(dst, "value", k.Value, text)
		dst = append(appendJSONTags(dst, k.Tags, text), '}')
	}
	return append(dst, ']')
}

// appendJSONTags appends HBase's serialised tag list as the field tags; nothing when it is empty.
func appendJSONTags(dst, tags []byte, text bool) []byte {
	if len(tags) == 0 {
		return dst
	}
	dst = append(dst, `,"tags":[`...)
	for i := 0; len(tags) > 0; i++ {
		var typ int64
		var value []byte
		typ, value, tags = nextTag(tags)
		dst = strconv.AppendInt(append(appendComma(dst, i), `{"type":`...), typ, 10)
		dst = append(appendJSONBytes(append(dst, ','), "value", value, text), '}')
	}
	return append(dst, ']')
}

// appendJSONOrigins appends the field origins.
func appendJSONOrigins(dst []byte, origins []UUID) []byte {
	dst = append(dst, `"origins":[`...)
	for i, u := range origins {
		dst = append(appendUUID(append(appendComma(dst, i), '"'), u), '"')
	}
	return append(dst, ']')
}
