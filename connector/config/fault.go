package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a configuration.
type Fault struct {
	File      string // empty when the configuration came as a map
	Line      int    // 0 when not known
	Connector string // empty for keys of the process
	Key       string // empty when no single key is at fault
	Message   string // what is wrong and what to do
}

// String is "file:line: connector name: key: message" with what is known of it.
func (f Fault) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		b.WriteString(": ")
	}
	if f.Connector != "" {
		fmt.Fprintf(&b, "connector %s: ", f.Connector)
	}
	if f.Key != "" {
		fmt.Fprintf(&b, "%s: ", f.Key)
	}
	b.WriteString(f.Message)
	return b.String()
}

// Error holds all faults of a configuration, in the order of its lines.
type Error struct{ Faults []Fault }

// Error gives each fault a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// faults collects what is wrong on the way.
type faults []Fault

func (f *faults) add(at Fault, format string, args ...any) {
	at.Message = fmt.Sprintf(format, args...)
	*f = append(*f, at)
}

func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	return &Error{Faults: f}
}
