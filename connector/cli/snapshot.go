package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/filesystem/hdfs"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/internal/hbase/snapshot"
	"github.com/waltap/waltap/source/hfile"
)

type snapshotCommand struct {
	Path    string        `arg:"" help:"A snapshot, ROOT/.hbase-snapshot/NAME, or a ROOT, whose snapshots are listed: hdfs://host:port/hbase, or a folder."`
	User    string        `default:"hbase" help:"HDFS user as whom the files are read."`
	Timeout time.Duration `default:"30s" help:"For each answer of HDFS."`
	Files   bool          `help:"Name every file, and where it lies now."`
	Read    bool          `help:"Read all cells, with all checks, and count them."`
}

// Help is shown by --help.
func (snapshotCommand) Help() string {
	return `Looks for every file that the snapshot names; one that is not there is an error.

Examples:
  waltap hbase-snapshot hdfs://namenode:8020/hbase
  waltap hbase-snapshot --read hdfs://namenode-1:8020,namenode-2:8020/hbase/.hbase-snapshot/orders
  waltap hbase-snapshot --files /backups/orders/.hbase-snapshot/orders`
}

func (cmd *snapshotCommand) Run(e *env) error {
	at, err := filesystem.ParseLocation(cmd.Path)
	if err != nil {
		return usageError{err}
	}
	f, err := hdfs.Open(at, cmd.User, cmd.Timeout)
	if err != nil {
		return err
	}
	defer f.Close()
	root, name, ok := snapshot.SplitPath(at.Path)
	if !ok {
		return listSnapshots(e, f, at)
	}
	s, err := snapshot.Load(f, root, name)
	if err != nil {
		return err
	}
	describeSnapshot(e, s)
	if err := cmd.files(e, f, s); err != nil {
		return err
	}
	if cmd.Read {
		return readSnapshot(e, f, s)
	}
	return nil
}

func listSnapshots(e *env, f filesystem.FS, at filesystem.Location) error {
	all, err := snapshot.List(f, at.Path)
	if err != nil {
		return err
	}
	for _, d := range all {
		fmt.Fprintf(e.stdout, "%s\ttable %s\t%s\t%s\n", d.Name, d.Table, d.Created.UTC().Format(time.RFC3339), d.Type)
	}
	fmt.Fprintf(e.stdout, "%d snapshots below %s\n", len(all), at)
	return nil
}

func describeSnapshot(e *env, s *snapshot.Snapshot) {
	fmt.Fprintf(e.stdout, "snapshot %s of table %s, made %s (%s)", s.Name, s.Table, s.Created.UTC().Format(time.RFC3339), s.Type)
	if s.Owner != "" {
		fmt.Fprintf(e.stdout, " by %s", s.Owner)
	}
	fmt.Fprintln(e.stdout)
	for _, f := range s.Schema.Families {
		var attributes []string
		for k, v := range f.Attributes {
			attributes = append(attributes, k+" "+v)
		}
		slices.Sort(attributes)
		fmt.Fprintf(e.stdout, "family %s: %s\n", f.Name, strings.Join(attributes, ", "))
	}
	fmt.Fprintf(e.stdout, "%d regions; left out: %d that were split, %d replicas\n", len(s.Regions), s.Parents, s.Replicas)
}

// files looks for every file.
func (cmd *snapshotCommand) files(e *env, f filesystem.FS, s *snapshot.Snapshot) error {
	var n, halves, links, archived int
	var bytes int64
	var missing []error
	look := func(region string, files []snapshot.StoreFile) {
		for i := range files {
			sf := &files[i]
			info, at, err := sf.Stat(f)
			if err != nil {
				missing = append(missing, err)
				continue
			}
			n, bytes = n+1, bytes+info.Size
			kind := ""
			switch sf.Half {
			case snapshot.Top:
				kind = fmt.Sprintf(", the rows from %q on", sf.Split)
			case snapshot.Bottom:
				kind = fmt.Sprintf(", the rows before %q", sf.Split)
			}
			if sf.Half != snapshot.Whole {
				halves++
			}
			if sf.Link {
				links, kind = links+1, kind+", link"
			}
			if strings.Contains(at, "/archive/") {
				archived++
			}
			if cmd.Files {
				fmt.Fprintf(e.stdout, "  %s %s: %s, %d bytes%s\n", region, sf.Family, at, info.Size, kind)
			}
		}
	}
	for _, r := range s.Regions {
		if cmd.Files {
			fmt.Fprintf(e.stdout, "region %s, rows %q to %q, %d files\n", r.Encoded, r.Start, r.End, len(r.Files))
		}
		look(r.Encoded, r.Files)
	}
	look("MOB", s.Mob)
	fmt.Fprintf(e.stdout, "%d files, %d bytes: %d halves, %d links, %d in the archive, %d of MOB values\n", n, bytes, halves, links, archived, len(s.Mob))
	return errors.Join(missing...)
}

// readSnapshot reads all cells.
func readSnapshot(e *env, f filesystem.FS, s *snapshot.Snapshot) error {
	src := hfile.New(hfile.Config{FS: f, Root: s.Root, Snapshot: func(string) (string, error) { return s.Name, nil }})
	var families []string
	for _, f := range s.Schema.Families {
		families = append(families, f.Name)
	}
	if err := src.Check(e.ctx, s.Table, families); err != nil {
		return err
	}
	regions, err := src.Regions(e.ctx, s.Table)
	if err != nil {
		return err
	}
	var total readCount
	start := time.Now()
	for _, r := range regions {
		if err := total.region(e, src, s.Table, r); err != nil {
			return fmt.Errorf("region %s: %w", r.Encoded, err)
		}
	}
	fmt.Fprintf(e.stdout, "read %d rows, %d cells, %d bytes in %s; %d older cells of the same key were left out\n",
		total.rows, total.cells, total.bytes, time.Since(start).Round(time.Millisecond), total.shadowed)
	var types []string
	for t, n := range total.types {
		types = append(types, fmt.Sprintf("%s %d", t, n))
	}
	slices.Sort(types)
	fmt.Fprintln(e.stdout, strings.Join(types, ", "))
	return nil
}

type readCount struct {
	rows, cells, bytes, shadowed int64
	types                        map[cell.Type]int64
	row                          []byte
}

func (n *readCount) region(e *env, src *hfile.Source, table string, r admin.Region) error {
	st, err := src.Open(e.ctx, hscan.Request{Table: table, Region: r, Start: r.Start, Stop: r.End})
	if err != nil {
		return err
	}
	defer st.Close(e.ctx)
	if n.types == nil {
		n.types = make(map[cell.Type]int64)
	}
	for {
		b, err := st.Next(e.ctx)
		if errors.Is(err, io.EOF) {
			if s, ok := st.(interface{ Shadowed() int64 }); ok {
				n.shadowed += s.Shadowed()
			}
			return nil
		}
		if err != nil {
			return err
		}
		for i := range b.Cells {
			c := &b.Cells[i]
			if n.cells == 0 || string(n.row) != string(c.Row) {
				n.rows++
				n.row = append(n.row[:0], c.Row...)
			}
			n.cells++
			n.types[c.Type]++
			n.bytes += int64(len(c.Row) + len(c.Family) + len(c.Qualifier) + len(c.Value) + len(c.Tags))
		}
	}
}
