package schema

import (
	"encoding/base64"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON string. s is UTF-8.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		b := s[i]
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendJSONBytes appends the field name with b: base64-encoded, or, when text is set and b is text, as it is, in the field
// nameText.
func appendJSONBytes(dst []byte, name string, b []byte, text bool) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	if text && isText(b) {
		dst = append(dst, `Text":`...)
		return appendQuoted(dst, b)
	}
	dst = append(dst, `":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// isText tells whether b is UTF-8 without control characters but tab, line feed and carriage return: numbers in HBase's
// binary form mostly are UTF-8 too.
func isText(b []byte) bool {
	for _, x := range b {
		if x < ' ' && x != '\t' && x != '\n' && x != '\r' || x == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}
