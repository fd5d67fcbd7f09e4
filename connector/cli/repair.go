package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/waltap/waltap/connector/verify"
	"github.com/waltap/waltap/sink/hbase"
)

type repairCommand struct {
	endsFlags `embed:""`

	From        string `help:"Repair the rows of this differences file (verify --out). Default: compare first, in full." placeholder:"FILE"`
	Execute     bool   `help:"Write. Without it nothing is written."`
	DeleteExtra bool   `help:"Also remove versions that only the target has, each by a delete of that one version."`
	Apply       string `help:"How to write, as hbase.apply: auto, replication or mutation." enum:"auto,replication,mutation" default:"auto"`
}

func (cmd *repairCommand) Run(e *env) error {
	o, done, err := cmd.setUp(e)
	if err != nil {
		return err
	}
	defer done()
	if cmd.From != "" && cmd.Out != "" {
		return errors.New("--out is written by the comparison that --from makes unnecessary")
	}
	r, err := verify.Repair(e.ctx, verify.RepairOptions{Options: o, From: cmd.From, Execute: cmd.Execute, DeleteExtra: cmd.DeleteExtra, Apply: hbase.Mode(cmd.Apply)})
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if cmd.Report != "" {
		if err := os.WriteFile(cmd.Report, append(b, '\n'), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	if cmd.JSON {
		_, err = fmt.Fprintln(e.stdout, string(b))
	} else {
		err = printRepair(e.stdout, r)
	}
	if err != nil {
		return err
	}
	return repaired(r)
}

// repaired is the outcome of a repair: nil when nothing differs (any more).
func repaired(r *verify.RepairReport) error {
	switch {
	case r.Clean():
		return nil
	case !r.Executed:
		return different(fmt.Errorf("%d rows differ; nothing was written: --execute writes", r.Found.BadRows))
	}
	return different(fmt.Errorf("%d rows differ still", r.After.BadRows))
}

// printRepair writes what was written, or would be.
func printRepair(w io.Writer, r *verify.RepairReport) error {
	var b strings.Builder
	verb, bad := "would write", r.Found.BadRows
	if r.Executed {
		verb = "wrote"
	}
	if r.Compared != nil {
		fmt.Fprintf(&b, "compared: GOODROWS=%d BADROWS=%d\n", r.Compared.GoodRows, r.Compared.BadRows)
	}
	switch {
	case r.Found.Rows() == 0:
		fmt.Fprintf(&b, "nothing differs: there is nothing to write\n")
	default:
		fmt.Fprintf(&b, "%d rows differ, %d of %d that were read again do not\n", bad, r.Found.GoodRows, r.Found.Rows())
	}
	for _, list := range []struct {
		verb    string
		actions []verify.Action
	}{{verb, r.Actions}, {"leaves", r.Left}} {
		for _, a := range list.actions {
			fmt.Fprintf(&b, "%s %s: %d cells, %d bytes\n", list.verb, a.What, a.Cells, a.Bytes)
			for _, d := range a.Examples {
				fmt.Fprintf(&b, "    %s %s %s\n", d.Target, d.Kind, d.Text)
			}
		}
	}
	if r.After != nil && r.Found.Rows() > 0 {
		fmt.Fprintf(&b, "read again afterwards: GOODROWS=%d BADROWS=%d\n", r.After.GoodRows, r.After.BadRows)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
