package tail

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// Printer writes records.
type Printer interface {
	// Change writes a record and the change it holds.
	Change(r *kafka.Record, c *schema.Change) error
	// Unreadable writes a record that is no change.
	Unreadable(r *kafka.Record, err error) error
}

const timeFormat = "2006-01-02T15:04:05.000Z"

// Text writes a line per cell, in columns. A column is as wide as its widest value so far, at least as in widths and at most
// maxWidth.
type Text struct {
	W          io.Writer
	ValueBytes int // of a value that are shown; 0: all

	widths [columns]int
	begun  bool
}

const (
	columns  = 10
	maxWidth = 40
)

var widths = [columns]int{8, len(timeFormat), 4, 8, 6, 16, 20, 10, 13, 12}

var head = [columns]string{"OFFSET", "WRITTEN", "FROM", "SEQUENCE", "OP", "TABLE", "ROW", "COLUMN", "TIMESTAMP", "TYPE"}

// Change implements Printer.
func (t *Text) Change(r *kafka.Record, c *schema.Change) error {
	row := [columns]string{offset(r), time.UnixMilli(c.Timestamp).UTC().Format(timeFormat), c.Source.Kind.String(), fmt.Sprint(c.Sequence),
		c.Op().String(), c.Table, Escape(c.Row)}
	if len(c.Cells) == 0 {
		return t.line(row, "")
	}
	for i := range c.Cells {
		k := &c.Cells[i]
		row[7], row[8], row[9] = Escape(k.Family)+":"+Escape(k.Qualifier), fmt.Sprint(k.Timestamp), k.Type.String()
		if err := t.line(row, cellText(k, t.ValueBytes)); err != nil {
			return err
		}
	}
	return nil
}

// Unreadable implements Printer.
func (t *Text) Unreadable(r *kafka.Record, err error) error {
	row := [columns]string{offset(r), "-", "-", "-", "-", "-", Escape(r.Key)}
	if r.Value == nil {
		return t.line(row, "tombstone")
	}
	return t.line(row, fmt.Sprintf("unreadable, %d bytes: %v", len(r.Value), err))
}

func offset(r *kafka.Record) string { return fmt.Sprintf("%d/%d", r.Partition, r.Offset) }

func cellText(k *schema.Cell, limit int) string {
	value, more := k.Value, ""
	if limit > 0 && len(value) > limit {
		value, more = value[:limit], fmt.Sprintf(" … (%d bytes)", len(k.Value))
	}
	text := Escape(value) + more
	if len(k.Tags) > 0 {
		text += "  tags=" + Escape(k.Tags)
	}
	return text
}

func (t *Text) line(row [columns]string, last string) error {
	if !t.begun {
		t.begun, t.widths = true, widths
		if err := t.line(head, "VALUE"); err != nil {
			return err
		}
	}
	var b strings.Builder
	for i, s := range row {
		n := utf8.RuneCountInString(s)
		t.widths[i] = max(t.widths[i], min(n, maxWidth))
		b.WriteString(s)
		b.WriteString(strings.Repeat(" ", max(0, t.widths[i]-n)+2))
	}
	_, err := io.WriteString(t.W, strings.TrimRight(b.String()+last, " ")+"\n")
	return err
}

// Escape writes bytes as the HBase shell does: printable ASCII as it is, all else, and the backslash, as \xNN.
func Escape(b []byte) string {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c < ' ' || c > '~' || c == '\\' {
			out = append(out, '\\', 'x', hex[c>>4], hex[c&15])
			continue
		}
		out = append(out, c)
	}
	return string(out)
}

// Describe writes one change by itself, over several lines.
func Describe(w io.Writer, c *schema.Change) error {
	s := &c.Source
	var b strings.Builder
	field := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s "+format+"\n", append([]any{name}, args...)...)
	}
	field("table", "%s", c.Table)
	field("row", "%s", Escape(c.Row))
	field("op", "%s", c.Op())
	field("sequence", "%d", c.Sequence)
	field("written", "%s", time.UnixMilli(c.Timestamp).UTC().Format(timeFormat))
	field("source", "%s of cluster %s, region %s, epoch %d, by %s %s", s.Kind, s.ClusterID, s.Region, s.Epoch, s.Connector, s.Version)
	for _, id := range s.Origins {
		field("origin", "%s", id)
	}
	for i := range c.Cells {
		k := &c.Cells[i]
		field("cell", "%s:%s @%d %s %s", Escape(k.Family), Escape(k.Qualifier), k.Timestamp, k.Type, cellText(k, 0))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
