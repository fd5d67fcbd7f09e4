package tail

import (
	"bytes"
	"slices"
	"time"

	"github.com/waltap/waltap/schema"
)

// Filter chooses changes; what is empty chooses all.
type Filter struct {
	Tables       []string // namespace:table
	RowPrefix    []byte
	Ops          []string  // put, update, delete
	Since, Until time.Time // of Change.Timestamp; Until is not included
}

// Empty tells whether everything passes, also what is no change.
func (f *Filter) Empty() bool {
	return len(f.Tables) == 0 && len(f.RowPrefix) == 0 && len(f.Ops) == 0 && f.Since.IsZero() && f.Until.IsZero()
}

// Match tells whether c passes.
func (f *Filter) Match(c *schema.Change) bool {
	at := time.UnixMilli(c.Timestamp)
	return (len(f.Tables) == 0 || slices.Contains(f.Tables, c.Table)) &&
		bytes.HasPrefix(c.Row, f.RowPrefix) &&
		(len(f.Ops) == 0 || slices.Contains(f.Ops, c.Op().String())) &&
		(f.Since.IsZero() || !at.Before(f.Since)) &&
		(f.Until.IsZero() || at.Before(f.Until))
}
