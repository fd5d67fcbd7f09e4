package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/waltap/waltap/connector/tables"
)

// schemaReport is what the schema commands say.
type schemaReport struct {
	Destination string              `json:"destination"` // its cluster id
	Same        bool                `json:"same"`        // nothing is left to be done
	Done        []string            `json:"done,omitempty"`
	Differences []tables.Difference `json:"differences"`
	Error       string              `json:"error,omitempty"`
}

func (r *schemaReport) write(w io.Writer, asJSON bool) error {
	if asJSON {
		if r.Differences == nil {
			r.Differences = []tables.Difference{}
		}
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	var b bytes.Buffer
	r.text(&b)
	_, err := w.Write(b.Bytes())
	return err
}

// text writes a table of what differs, and below each line why and what to do about it.
func (r *schemaReport) text(b *bytes.Buffer) {
	var rows bytes.Buffer
	counts := make(map[tables.Action]int)
	t := tabwriter.NewWriter(&rows, 0, 8, 2, ' ', 0)
	for i := range r.Differences {
		d := &r.Differences[i]
		counts[d.Action]++
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", d.Action, d.What(), orDash(d.Want), orDash(d.Have))
	}
	t.Flush() // into memory: never fails
	lines := bytes.Split(rows.Bytes(), []byte("\n"))
	if len(r.Differences) > 0 {
		fmt.Fprintf(b, "# ACTION, WHAT, WANTED, AT THE DESTINATION (%s)\n", r.Destination)
	}
	for i, d := range r.Differences {
		fmt.Fprintf(b, "%s\n", bytes.TrimRight(lines[i], " "))
		for _, text := range []string{d.Why, d.Remedy} {
			if text != "" {
				fmt.Fprintf(b, "    %s\n", text)
			}
		}
	}
	if r.Done == nil {
		sum := ""
		for _, a := range []tables.Action{tables.Same, tables.Add, tables.Alter, tables.Decide, tables.Refused, tables.LeftOff, tables.Note} {
			if counts[a] > 0 {
				sum += fmt.Sprintf(", %d %s", counts[a], a)
			}
		}
		fmt.Fprintf(b, "%s\n", sum[min(2, len(sum)):])
		return
	}
	switch {
	case len(r.Done) == 0 && r.Same:
		fmt.Fprintln(b, "nothing to do: the destination is as asked for")
	case r.Same:
		fmt.Fprintln(b, "the destination is as asked for")
	default:
		fmt.Fprintf(b, "%d differences are left\n", len(r.Differences))
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
