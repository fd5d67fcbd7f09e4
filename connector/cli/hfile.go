package cli

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/tail"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hfile"
)

type hfileCommand struct {
	File string `arg:"" help:"The file."`

	Meta  bool `help:"Show what the file says of itself; so without any of --meta, --cells, --check."`
	Cells bool `help:"Show the cells, a line each."`
	Check bool `help:"Read the whole file and see that it is whole and in order. Exit code 1: it is not."`

	RowStart   string `help:"Only cells of this row and those behind it; \\xNN is a byte, as in the HBase shell." placeholder:"ROW"`
	RowStop    string `help:"Only cells of rows before this one." placeholder:"ROW"`
	Limit      int64  `help:"End after so many cells." placeholder:"N"`
	ValueBytes int    `default:"200" help:"Bytes of a value to show, 0 for all; default ${default}." placeholder:"N"`
}

func (cmd *hfileCommand) Run(e *env) error {
	start, err := config.ParseRow(cmd.RowStart)
	if err != nil {
		return usageError{fmt.Errorf("--row-start: %w", err)}
	}
	stop, err := config.ParseRow(cmd.RowStop)
	if err != nil {
		return usageError{fmt.Errorf("--row-stop: %w", err)}
	}
	file, err := os.Open(cmd.File)
	if err != nil {
		return fmt.Errorf("open HFile: %w", err)
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return fmt.Errorf("open HFile: %w", err)
	}
	h, err := hfile.Open(file, st.Size(), hfile.Options{Name: cmd.File, Workers: runtime.GOMAXPROCS(0)})
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(e.stdout, 64<<10)
	if cmd.Meta || !cmd.Cells && !cmd.Check {
		err = writeHFileMeta(out, h.Meta())
	}
	if cmd.Cells && err == nil {
		err = cmd.cells(e, out, h, start, stop)
	}
	if cmd.Check && err == nil {
		err = checkHFile(out, h)
	}
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	return err
}

// cells writes a line per cell, as HFilePrettyPrinter's -p does.
func (cmd *hfileCommand) cells(e *env, out *bufio.Writer, h *hfile.File, start, stop []byte) error {
	s, err := h.Scan(start, stop)
	if err != nil {
		return err
	}
	defer s.Close()
	var c hfile.Cell
	for cmd.Limit == 0 || s.Cells() < cmd.Limit {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		ok, err := s.Next(&c)
		if err != nil || !ok {
			return err
		}
		if err := writeHFileCell(out, &c, cmd.ValueBytes); err != nil {
			return err
		}
	}
	return nil
}

func writeHFileCell(w io.Writer, c *hfile.Cell, valueBytes int) error {
	value, more := c.Value, ""
	if valueBytes > 0 && len(value) > valueBytes {
		value, more = value[:valueBytes], "…"
	}
	var tags strings.Builder
	i := 0
	for tag, err := range cell.Tags(c.Tags) {
		if err != nil {
			return err
		}
		fmt.Fprintf(&tags, " T[%d]: %d %s", i, tag.Type, tail.Escape(tag.Value))
		i++
	}
	_, err := fmt.Fprintf(w, "K: %s/%s:%s/%d/%s/vlen=%d/seqid=%d V: %s%s%s\n", tail.Escape(c.Row), tail.Escape(c.Family), tail.Escape(c.Qualifier),
		c.Timestamp, c.Type, len(c.Value), c.Sequence, tail.Escape(value), more, &tags)
	return err
}

func writeHFileMeta(out io.Writer, m *hfile.Meta) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) } // tabwriter keeps the error for Flush
	line("version", fmt.Sprintf("%d.%d", m.Major, m.Minor))
	line("size", fmt.Sprintf("%d bytes, %d of data blocks; uncompressed %d", m.Size, m.DataBytes, m.Uncompressed))
	line("cells", m.Entries)
	line("encoding", m.Encoding)
	line("compression", m.Compression)
	line("checksums", m.Checksum)
	line("index", fmt.Sprintf("%d levels, %d entries in the root", m.IndexLevels, m.IndexEntries))
	line("comparator", m.Comparator)
	if m.Entries > 0 {
		line("first row", tail.Escape(m.FirstRow))
		k := m.LastKey
		line("last key", fmt.Sprintf("%s/%s:%s/%d/%s", tail.Escape(k.Row), tail.Escape(k.Family), tail.Escape(k.Qualifier), k.Timestamp, k.Type))
	}
	line("tags", yesNo(m.Tags, yesNo(m.CompressTags, "compressed", "yes"), "no"))
	line("sequence ids", yesNo(m.MVCC, fmt.Sprintf("up to %d", m.MaxMVCC), "no"))
	line("sequence id of the file", yesNo(m.MaxSequence >= 0, fmt.Sprint(m.MaxSequence), "none"))
	line("major compaction", yesNo(m.MajorCompaction, "yes", "no"))
	line("bulk load", yesNo(m.BulkLoad, "made "+m.BulkLoadTime.Format(time.RFC3339), "no"))
	if !m.Created.IsZero() {
		line("created", m.Created.Format(time.RFC3339))
	}
	line("file info", "")
	for _, name := range slices.Sorted(maps.Keys(m.Info)) {
		line("  "+tail.Escape([]byte(name)), infoText(name, m.Info[name]))
	}
	return w.Flush()
}

func yesNo(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// infoKeys are those of the file info whose values are rows or keys, of any length.
var infoKeys = []string{"LAST_BLOOM_KEY", "hfile.LASTKEY", "hfile.KEY_OF_BIGGEST_CELL"}

// infoText is a value of the file info: text as it is, other bytes escaped, and as a number where they are as long as one.
func infoText(name string, v []byte) string {
	text := tail.Escape(v)
	if !strings.Contains(text, `\x`) || slices.Contains(infoKeys, name) {
		return text
	}
	switch len(v) {
	case 1:
		return fmt.Sprint(v[0])
	case 4:
		return fmt.Sprint(int32(binary.BigEndian.Uint32(v)))
	case 8:
		return fmt.Sprint(int64(binary.BigEndian.Uint64(v)))
	}
	return text
}

func checkHFile(out io.Writer, h *hfile.File) error {
	t, err := h.Check()
	if err != nil {
		return err
	}
	kinds := make([]string, 0, len(t.Types))
	for _, typ := range slices.Sorted(maps.Keys(t.Types)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", t.Types[typ], typ))
	}
	if len(kinds) == 0 {
		kinds = []string{"none"}
	}
	checksums := "checksums verified"
	if h.Meta().Checksum == "NULL" {
		checksums = "it has no checksums"
	}
	_, err = fmt.Fprintf(out, "whole and in order: %d rows, %d cells (%s), %d bytes, the longest %d; %d data blocks, %s\n", t.Rows, t.Cells,
		strings.Join(kinds, ", "), t.Bytes, t.Longest, h.Stats().DataBlocks, checksums)
	return err
}
