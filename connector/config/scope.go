package config

import (
	"encoding/hex"
	"fmt"

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

// ParseRow reads a row key as the HBase shell writes it: \xNN is a byte, all else stands for itself.
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
