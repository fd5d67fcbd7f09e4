package verify

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// stateFormatVersion is the version of the state files this release writes.
const stateFormatVersion = 1

// state is what a state file holds: how far each range is, and what was found in it so far.
type state struct {
	FormatVersion int          `json:"formatVersion"`
	Comparison    string       `json:"comparison"` // of what, see Options.fingerprint
	Started       time.Time    `json:"started"`
	Since         Offsets      `json:"since,omitempty"`
	Ranges        []stateRange `json:"ranges"`
}

type stateRange struct {
	Table  string `json:"table"`
	Start  []byte `json:"start"`
	End    []byte `json:"end"`
	Upto   []byte `json:"upto"` // the rows before it are judged
	Done   bool   `json:"done"`
	Size   int64  `json:"size"`
	Counts Counts `json:"counts"`
}

// judged tells whether a row was judged when the state was saved.
func (s *state) judged(table string, row []byte) bool {
	for i := range s.Ranges {
		r := &s.Ranges[i]
		if r.Table == table && (span{r.Start, r.End}).holds(row) {
			return r.Done || len(r.Upto) > 0 && bytes.Compare(row, r.Upto) < 0
		}
	}
	return false
}

// fingerprint tells comparisons apart: a state is good for one of the same only.
func (o *Options) fingerprint(source, target string) string {
	var b strings.Builder
	tables := slices.Sorted(slices.Values(o.Tables))
	fmt.Fprintf(&b, "%s to %s; tables", source, target)
	for _, t := range tables {
		fmt.Fprintf(&b, " %s=%s%v", t, o.Mapping.Table(t), o.Mapping.Families.Of(t))
	}
	if o.Scope != nil {
		fmt.Fprintf(&b, "; scope %s", o.Scope)
	}
	fmt.Fprintf(&b, "; rows %q to %q; timestamps %d to %d; families %v; visible %v, versions %d; mode %s, ratio %v", o.RowStart, o.RowStop,
		o.MinTimestamp, o.MaxTimestamp, o.Families, o.Visible, o.Versions, o.Mode, o.SampleRatio)
	if o.Era != "" {
		fmt.Fprintf(&b, "; %s", o.Era)
	}
	return b.String()
}

func readState(file string) (*state, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the state file: %w", err)
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read the state file %s: %w", file, err)
	}
	if s.FormatVersion != stateFormatVersion {
		return nil, fmt.Errorf("read the state file %s: its format has version %d, this release knows %d: begin anew without it", file, s.FormatVersion, stateFormatVersion)
	}
	return &s, nil
}

// writeFile puts what write writes at path, whole or not at all.
func writeFile(path string, write func(w io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriter(f)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// differences is the file of differences. Nil writes nothing.
type differences struct {
	mu sync.Mutex
	f  *os.File
	w  *bufio.Writer
}

// openDifferences begins a file, or goes on with that of the comparison that was: of its lines those stay that are of rows which
// it has judged.
func openDifferences(path string, resumed *state) (*differences, error) {
	if path == "" {
		return nil, nil
	}
	err := writeFile(path, func(w io.Writer) error {
		if resumed == nil {
			return nil
		}
		return keepJudged(w, path, resumed)
	})
	if err != nil {
		return nil, fmt.Errorf("write the differences: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("write the differences: %w", err)
	}
	return &differences{f: f, w: bufio.NewWriter(f)}, nil
}

// keepJudged copies the lines of rows that were judged.
func keepJudged(w io.Writer, path string, resumed *state) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return eachLine(f, func(line []byte, whole bool) error {
		if !whole {
			return nil // it was being written
		}
		var d Difference
		if err := json.Unmarshal(line, &d); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if !resumed.judged(d.Table, d.Row) {
			return nil
		}
		_, err := w.Write(append(line, '\n'))
		return err
	})
}

// eachLine hands the lines of r to each; whole is false for a last one without its end.
func eachLine(r io.Reader, each func(line []byte, whole bool) error) error {
	b := bufio.NewReader(r)
	for {
		line, err := b.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		whole := err == nil
		if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > 0 {
			if err := each(line, whole); err != nil {
				return err
			}
		}
		if !whole {
			return nil
		}
	}
}

func (d *differences) write(x *Difference) error {
	if d == nil {
		return nil
	}
	b, err := json.Marshal(x)
	if err != nil {
		return fmt.Errorf("write the differences: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write the differences: %w", err)
	}
	return nil
}

// flush makes what was written durable.
func (d *differences) flush() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.w.Flush(), d.f.Sync()); err != nil {
		return fmt.Errorf("write the differences: %w", err)
	}
	return nil
}

func (d *differences) close() error {
	if d == nil {
		return nil
	}
	return errors.Join(d.flush(), d.f.Close())
}

// ReadDifferences hands the lines of a differences file to each.
func ReadDifferences(path string, each func(*Difference) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the differences: %w", err)
	}
	defer f.Close()
	return eachLine(f, func(line []byte, _ bool) error {
		var d Difference
		if err := json.Unmarshal(line, &d); err != nil {
			return fmt.Errorf("read the differences: %s: %w", path, err)
		}
		return each(&d)
	})
}
