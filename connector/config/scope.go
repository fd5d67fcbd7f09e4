package config

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/waltap/waltap/schema"
)

func parseColumnPatterns(s string) ([]schema.ColumnPattern, error) {
	var patterns []schema.ColumnPattern
	for _, e := range splitOutsideBrackets(s) {
		p, err := schema.ParseColumnPattern(e)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	if len(patterns) == 0 {
		return nil, fmt.Errorf("the list is empty: give a column or remove the key")
	}
	return patterns, nil
}

// patternHead finds where a pattern's table ends.
var patternHead = regexp.MustCompile(`^(?:(.*?)=)?(anywhere|prefix|postfix|exact):`)

// parseBytePatterns reads a list of anywhere|prefix|postfix|exact:BYTES, each with or without namespace:table= before it.
func parseBytePatterns(s string) ([]schema.BytePattern, error) {
	entries, err := parseList(s)
	if err != nil {
		return nil, err
	}
	var patterns []schema.BytePattern
	for _, e := range entries {
		p, err := parseBytePattern(e)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	if len(patterns) == 0 {
		return nil, fmt.Errorf("the list is empty: give a pattern or remove the key")
	}
	return patterns, nil
}

func parseBytePattern(s string) (p schema.BytePattern, err error) {
	head := patternHead.FindStringSubmatchIndex(s)
	if head == nil {
		return p, fmt.Errorf(`%q is no pattern: want anywhere:BYTES, prefix:BYTES, postfix:BYTES or exact:BYTES, or the same behind namespace:table=; a comma in BYTES is written \x2c`, s)
	}
	if head[2] >= 0 {
		if strings.TrimSpace(s[head[2]:head[3]]) == "" {
			return p, fmt.Errorf("%q: no table stands before the =", s)
		}
		if p.Tables, err = ParseTablePattern(strings.TrimSpace(s[head[2]:head[3]])); err != nil {
			return p, fmt.Errorf("%q: %w", s, err)
		}
	}
	p.Kind = schema.PatternKind(s[head[4]:head[5]])
	if p.Bytes, err = ParseRow(s[head[1]:]); err != nil {
		return p, fmt.Errorf("%q: %w", s, err)
	}
	if len(p.Bytes) == 0 && p.Kind != schema.Exact {
		return p, fmt.Errorf("%q matches everything: give bytes behind the colon", s)
	}
	return p, nil
}

// ParseRow reads a row key, or other bytes, as the HBase shell writes them: \xNN is a byte, all else stands for itself.
func ParseRow(s string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(s); {
		if i+3 < len(s) && s[i] == '\\' && s[i+1] == 'x' {
			b, err := hex.DecodeString(s[i+2 : i+4])
			if err != nil {
				return nil, fmt.Errorf("%q is not \\x and two hexadecimal digits", s[i:i+4])
			}
			out, i = append(out, b[0]), i+4
			continue
		}
		out, i = append(out, s[i]), i+1
	}
	return out, nil
}

// checkScope refuses a scope that holds nothing.
func checkScope(s *schema.Scope) (key string, err error) {
	switch {
	case len(s.RowStop) > 0 && string(s.RowStart) >= string(s.RowStop):
		return "row.stop", fmt.Errorf("no row lies between row.start %q and row.stop %q", s.RowStart, s.RowStop)
	case s.MaxTimestamp > 0 && s.MinTimestamp >= s.MaxTimestamp:
		return "snapshot.timestamp.max", fmt.Errorf("no timestamp lies between snapshot.timestamp.min %d and snapshot.timestamp.max %d", s.MinTimestamp, s.MaxTimestamp)
	}
	return "", nil
}
