package schema

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// PatternKind says where in the bytes a BytePattern must stand.
type PatternKind string

// The kinds of patterns.
const (
	Anywhere PatternKind = "anywhere"
	Prefix   PatternKind = "prefix"
	Postfix  PatternKind = "postfix"
	Exact    PatternKind = "exact" // all of the bytes
)

// BytePattern chooses rows, qualifiers or values by their bytes.
type BytePattern struct {
	// Tables are those that it is for; nil: all. Its text is part of BytePattern.String.
	Tables interface {
		Match(table string) bool
		String() string
	}
	Kind  PatternKind
	Bytes []byte
}

func (p *BytePattern) matches(b []byte) bool {
	switch p.Kind {
	case Anywhere:
		return bytes.Contains(b, p.Bytes)
	case Prefix:
		return bytes.HasPrefix(b, p.Bytes)
	case Postfix:
		return bytes.HasSuffix(b, p.Bytes)
	}
	return bytes.Equal(b, p.Bytes)
}

// String tells patterns apart: two with the same text match the same.
func (p *BytePattern) String() string {
	text := fmt.Sprintf("%s:%q", p.Kind, p.Bytes)
	if p.Tables != nil {
		text = p.Tables.String() + "=" + text
	}
	return text
}

// ByteFilter passes what matches one of Include, or anything when none of them is for the table, and none of Exclude.
type ByteFilter struct{ Include, Exclude []BytePattern }

// of returns the filter with what is for one table.
func (f *ByteFilter) of(table string) ByteFilter {
	pick := func(all []BytePattern) (of []BytePattern) {
		for _, p := range all {
			if p.Tables == nil || p.Tables.Match(table) {
				of = append(of, p)
			}
		}
		return of
	}
	return ByteFilter{pick(f.Include), pick(f.Exclude)}
}

func (f *ByteFilter) empty() bool { return len(f.Include) == 0 && len(f.Exclude) == 0 }

// passes is for a filter of one table.
func (f *ByteFilter) passes(b []byte) bool {
	for i := range f.Exclude {
		if f.Exclude[i].matches(b) {
			return false
		}
	}
	for i := range f.Include {
		if f.Include[i].matches(b) {
			return true
		}
	}
	return len(f.Include) == 0
}

// describe appends f as parts of Scope.String.
func (f *ByteFilter) describe(parts []string, what string) []string {
	for _, list := range []struct {
		verb     string
		patterns []BytePattern
	}{{"include", f.Include}, {"exclude", f.Exclude}} {
		if len(list.patterns) == 0 {
			continue
		}
		texts := make([]string, len(list.patterns))
		for i := range list.patterns {
			texts[i] = list.patterns[i].String()
		}
		parts = append(parts, what+" "+list.verb+" "+strings.Join(texts, ", "))
	}
	return parts
}

// tagTTL is the type of HBase's tag for the time to live of the one cell.
const tagTTL = 8

// withoutTTL returns a list of tags without the TTL. tags is left as it is, and returned when it holds none or does not follow
// the format: then it is carried as it came.
func withoutTTL(tags []byte) []byte {
	found := false
	for rest := tags; len(rest) > 0; {
		n := tagLen(rest)
		if n == 0 {
			return tags
		}
		found = found || rest[2] == tagTTL
		rest = rest[n:]
	}
	if !found {
		return tags
	}
	var out []byte
	for rest := tags; len(rest) > 0; {
		n := tagLen(rest)
		if rest[2] != tagTTL {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	return out
}

// tagLen is the length of the tag that b begins with, its length field included; 0 when there is none.
func tagLen(b []byte) int {
	if len(b) < 3 {
		return 0
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if n < 3 || n > len(b) {
		return 0
	}
	return n
}
