package tables

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Key writes a row key as HBase's shell does: printable ASCII as it is, all else, and the backslash, as \xNN. (HBase itself leaves
// the backslash as it is, which reads back as another key where "xNN" follows; it reads both.)
func Key(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		if c < ' ' || c > '~' || c == '\\' {
			fmt.Fprintf(&s, `\x%02X`, c)
			continue
		}
		s.WriteByte(c)
	}
	return s.String()
}

// Text is Key, with the printable characters of all languages as they are.
func Text(text string) string {
	var s strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if r == '\\' || r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) {
			s.WriteString(Key([]byte(text[:n])))
		} else {
			s.WriteString(text[:n])
		}
		text = text[n:]
	}
	return s.String()
}

// Bytes reads what Key and Text write. A backslash that does not begin \xNN is an error.
func Bytes(s string) ([]byte, error) {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i+4 > len(s) || s[i+1] != 'x' {
			return nil, fmt.Errorf(`%q: write a backslash as \x5C, and other bytes as \x and two hexadecimal digits`, s)
		}
		c, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
		if err != nil {
			return nil, fmt.Errorf(`%q: %q is not \x and two hexadecimal digits`, s, s[i:i+4])
		}
		b = append(b, byte(c))
		i += 3
	}
	return b, nil
}
