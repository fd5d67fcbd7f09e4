package schema

import (
	"fmt"
	"strings"
	"unicode"
)

// DefaultNamespace is the namespace of a table that is named without one.
const DefaultNamespace = "default"

// NormalizeTable returns the full name of a table: "orders" becomes
// "default:orders", a full name stays.
func NormalizeTable(name string) string {
	if strings.Contains(name, ":") {
		return name
	}
	return DefaultNamespace + ":" + name
}

// SplitTable returns the two parts of a table name, "default" for the
// namespace of a name without one.
func SplitTable(name string) (namespace, qualifier string) {
	if namespace, qualifier, ok := strings.Cut(name, ":"); ok {
		return namespace, qualifier
	}
	return DefaultNamespace, name
}

// CheckTable reports whether HBase could have a table of this name, with or
// without a namespace: letters, digits, '_', '-' and '.', the table not
// beginning with '-' or '.'.
func CheckTable(name string) error {
	namespace, qualifier := SplitTable(name)
	if namespace == "" || qualifier == "" {
		return fmt.Errorf("check table name %q: want table or namespace:table", name)
	}
	for _, part := range []string{namespace, qualifier} {
		for _, r := range part {
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r) {
				return fmt.Errorf("check table name %q: HBase does not allow %q in it", name, r)
			}
		}
	}
	if qualifier[0] == '.' || qualifier[0] == '-' {
		return fmt.Errorf("check table name %q: HBase does not allow a table name to begin with %q", name, qualifier[0])
	}
	return nil
}

// cutTable is SplitTable for names that must be full.
func cutTable(name string) (namespace, qualifier string, ok bool) {
	namespace, qualifier, ok = strings.Cut(name, ":")
	return namespace, qualifier, ok && namespace != "" && qualifier != "" && !strings.Contains(qualifier, ":")
}
