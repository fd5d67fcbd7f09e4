package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waltap/waltap/connector/verify"
	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/sink/hbase"
)

// RepairOptions of Repair.
type RepairOptions struct {
	Execute     bool // write; without it nothing is
	DeleteExtra bool // also remove what only the destination has
	VerifyOptions
}

// Repair compares the tables of a wave and writes what differs, or says what it would. When it has written, and nothing differs any more,
// that counts as a clean pass of verify.
func (m *Migration) Repair(ctx context.Context, e Env, wave string, o RepairOptions) (r *verify.RepairReport, err error) {
	s, w, st, err := m.on(ctx, e, wave)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if st.Phase != PhaseStarted {
		return nil, fmt.Errorf("wave %s is %s: a repair writes to the destination as it is at the source, while the wave is started", w.Name, st.Phase)
	}
	p, err := s.forwardPair(w, st)
	if err != nil {
		return nil, err
	}
	options, done, err := s.verifyOptions(p)
	if err != nil {
		return nil, err
	}
	defer done()
	options.Progress, options.Parallel = o.Progress, o.Parallel
	if o.Hash {
		options.Mode = verify.Hash
	}
	r, err = verify.Repair(ctx, verify.RepairOptions{Options: options, Execute: o.Execute, DeleteExtra: o.DeleteExtra, Apply: hbase.Mode(p.sink.Sink.Apply)})
	if err != nil {
		return nil, err
	}
	crash.Point(crash.VerifyUnsaved)
	return r, s.keepPass(ctx, w, passOf(r.Compared, r.Clean(), p.tables))
}

// passOf is a comparison of all rows as a pass; clean says whether what it has found is mended.
func passOf(r *verify.Report, clean bool, tables []string) *Pass {
	began := r.Started.UnixMilli()
	p := &Pass{
		Clean: clean, Mode: string(r.Mode), Began: began, Ended: time.Now().UnixMilli(), Rows: r.Rows(), Good: r.GoodRows, Bad: r.BadRows,
		Excused: r.ExceptedRows, Proved: r.Proved, Tables: tables, Since: r.Since, Whole: began,
	}
	for _, t := range r.Tables {
		p.ByTable = append(p.ByTable, PassTable{t.Table, t.Target, t.GoodRows, t.BadRows})
	}
	if r.BadRows > 0 {
		p.Differences = r.Counts.Differences
	}
	if clean {
		p.Good, p.Bad, p.Differences = p.Rows, 0, nil
		for i := range p.ByTable {
			t := &p.ByTable[i]
			t.Good, t.Bad = t.Good+t.Bad, 0
		}
	}
	return p
}
