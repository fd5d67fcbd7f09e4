package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/migrate"
	"github.com/waltap/waltap/connector/verify"
	"github.com/waltap/waltap/source/scan"
)

type migrateCommands struct {
	Plan    migratePlan    `cmd:"" help:"Show everything that the migration will create or alter on both sides, sizes, and an estimate of time. Changes nothing."`
	Start   migrateStart   `cmd:"" help:"Begin, and run the connectors until SIGINT or SIGTERM. Start it again after a crash, here or elsewhere."`
	Status  migrateStatus  `cmd:"" help:"Show how it gets on, per table."`
	Pause   migratePause   `cmd:"" help:"Stop the wave's connectors, wherever they run. The source keeps its WALs meanwhile."`
	Resume  migrateResume  `cmd:"" help:"Start the wave's connectors again, where waltap migrate start runs."`
	Verify  migrateVerify  `cmd:"" help:"Compare both ends, for the gate. After a clean pass only what has changed since. Exit code 0: equal, 1: it could not be carried through, 2: they differ."`
	Repair  migrateRepair  `cmd:"" help:"Show what would be written to make the destination equal; --execute writes it. Exit codes as verify."`
	Cutover migrateCutover `cmd:"" help:"Close the source's tables to writers, wait for the gate, say that writers may go to the destination. Exit code 2: the gate is red."`
	Cleanup migrateCleanup `cmd:"" help:"Remove what the migration has made, put back what it has altered, list what is left."`
}

// migrationFlags say which migration, and which wave of it.
type migrationFlags struct {
	File string `short:"f" required:"" placeholder:"FILE" help:"The migration: a configuration with one source, one sink, and the keys migration.* (docs/migrate.md)."`
}

type waveFlags struct {
	migrationFlags `embed:""`

	Wave string `help:"The wave that is meant, when there are several." placeholder:"WAVE"`
}

type wavesFlags struct {
	migrationFlags `embed:""`

	Wave []string `help:"Only these waves." placeholder:"WAVE"`
}

// open reads the file.
func (f *migrationFlags) open(e *env) (*migrate.Migration, migrate.Env, error) {
	cfg, err := config.ParseFile(f.File)
	if err != nil {
		return nil, migrate.Env{}, usageError{fmt.Errorf("read the configuration:\n%w", err)}
	}
	m, err := migrate.New(cfg)
	if err != nil {
		return nil, migrate.Env{}, usageError{err}
	}
	o := &slog.HandlerOptions{Level: max(cfg.LogLevel, slog.LevelWarn)}
	return m, migrate.Env{Out: e.stdout, Log: slog.New(slog.NewTextHandler(e.stderr, o))}, nil
}

func (e *env) writeJSON(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = fmt.Fprintln(e.stdout, string(b))
	}
	return err
}

type migratePlan struct {
	wavesFlags `embed:""`

	JSON bool `name:"json" help:"Write it as JSON."`
}

func (cmd *migratePlan) Run(e *env) error {
	m, menv, err := cmd.open(e)
	if err != nil {
		return err
	}
	p, err := m.Plan(e.ctx, menv, cmd.Wave)
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = e.writeJSON(p)
	} else {
		err = p.Print(e.stdout)
	}
	if err == nil && p.Refused() {
		return different(errors.New("something must be settled before the migration starts: see the lines that say refused"))
	}
	return err
}

type migrateStart struct {
	wavesFlags `embed:""`
}

func (cmd *migrateStart) Run(e *env) error {
	m, menv, err := cmd.open(e)
	if err != nil {
		return err
	}
	menv.Out, menv.Log = e.stderr, slog.New(slog.NewTextHandler(e.stderr, nil))
	menv.API = migrationAPI
	return m.Start(e.ctx, menv, cmd.Wave, e.stderr)
}

type migrateStatus struct {
	migrationFlags `embed:""`

	JSON     bool          `name:"json" help:"Write it as JSON, once."`
	Once     bool          `help:"Show it once."`
	Tables   bool          `help:"Show each table. Without it those of a migration of more than 20 that get on alike are summed up, so that it fits a screen."`
	Interval time.Duration `help:"How often it is read." default:"2s"`
}

// clearScreen puts the cursor at the top, and clears what was below.
const clearScreen = "\x1b[H\x1b[J"

func (cmd *migrateStatus) Run(e *env) (err error) {
	m, menv, err := cmd.open(e)
	if err != nil {
		return err
	}
	w, err := m.Watch(e.ctx, menv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if cmd.JSON || cmd.Once {
		// Rates are told by two looks.
		if _, err := w.Read(e.ctx); err != nil {
			return err
		}
		if err := pause(e.ctx, time.Second); err != nil {
			return err
		}
		s, err := w.Read(e.ctx)
		if err != nil {
			return err
		}
		if cmd.JSON {
			return e.writeJSON(s)
		}
		s.Print(e.stdout, cmd.Tables)
		return nil
	}
	for {
		s, err := w.Read(e.ctx)
		if e.ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprint(e.stdout, clearScreen)
		s.Print(e.stdout, cmd.Tables)
		if pause(e.ctx, cmd.Interval) != nil {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

type migratePause struct {
	waveFlags `embed:""`
}

func (cmd *migratePause) Run(e *env) error {
	m, menv, err := cmd.open(e)
	if err != nil {
		return err
	}
	return m.Pause(e.ctx, menv, cmd.Wave, true)
}

type migrateResume struct {
	waveFlags `embed:""`
}

func (cmd *migrateResume) Run(e *env) error {
	m, menv, err := cmd.open(e)
	if err != nil {
		return err
	}
	return m.Pause(e.ctx, menv, cmd.Wave, false)
}

// compareFlags are of verify and repair.
type compareFlags struct {
	waveFlags `embed:""`

	Hash     bool   `help:"Where all rows are compared: hashes of ranges, and rows only where those differ."`
	Parallel int    `help:"Ranges of rows compared at once; default ${default}." default:"4" placeholder:"N"`
	Out      string `short:"o" help:"Write a line of JSON for each difference to this file." placeholder:"FILE"`
	JSON     bool   `name:"json" help:"Write the report as JSON to standard output."`
	Quiet    bool   `short:"q" help:"Show no progress."`
}

func (f *compareFlags) options(e *env) migrate.VerifyOptions {
	o := migrate.VerifyOptions{Hash: f.Hash, Parallel: f.Parallel, DifferencesFile: f.Out}
	if !f.Quiet {
		o.Progress = func(p verify.Progress) { showVerify(e.stderr, &p) }
	}
	return o
}

type migrateVerify struct {
	compareFlags `embed:""`

	Full       bool  `help:"Compare all rows, also after a clean pass."`
	MaxBadRows int64 `help:"Stop when so many rows are bad; 0: never." placeholder:"N"`

	MaxRowsPerSecond int64  `help:"Hold the reading back, at each end; 0: no limit." placeholder:"N"`
	MaxMBPerSecond   int64  `name:"max-mb-per-second" help:"The same in MiB." placeholder:"N"`
	State            string `help:"Keep the progress of a pass over all rows in this file, so that --resume can go on from it." placeholder:"FILE"`
	Resume           bool   `help:"Go on where the pass of --state was ended; begin it when there is none."`
}

func (cmd *migrateVerify) Run(e *env) error {
	m, menv, err := cmd.open(e)
	if err != nil {
		return err
	}
	o := cmd.options(e)
	o.Full, o.MaxBadRows, o.StateFile, o.Resume = cmd.Full, cmd.MaxBadRows, cmd.State, cmd.Resume
	o.Limits = scan.Limits{RowsPerSecond: cmd.MaxRowsPerSecond, BytesPerSecond: cmd.MaxMBPerSecond << 20}
	if cmd.Resume && cmd.State == "" {
		return usageError{errors.New("--resume needs --state")}
	}
	r, err := m.Verify(e.ctx, menv, cmd.Wave, o)
	if err != nil {
		return err
	}
	return (&endsFlags{JSON: cmd.JSON}).finish(e, r)
}

type migrateRepair struct {
	compareFlags `embed:""`

	Execute     bool `help:"Write. Without it nothing is written."`
	DeleteExtra bool `help:"Also remove versions that only the destination has."`
}

func (cmd *migrateRepair) Run(e *env) error {
	m, menv, err := cmd.open(e)
	if err != nil {
		return err
	}
	r, err := m.Repair(e.ctx, menv, cmd.Wave, migrate.RepairOptions{Execute: cmd.Execute, DeleteExtra: cmd.DeleteExtra, VerifyOptions: cmd.options(e)})
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = e.writeJSON(r)
	} else {
		err = printRepair(e.stdout, r)
	}
	if err != nil {
		return err
	}
	return repaired(r)
}

type migrateCutover struct {
	waveFlags `embed:""`

	Rehearse  bool `help:"Do all of it but closing the tables, and predict the freeze." xor:"what"`
	Undo      bool `help:"Go back: writers belong to the source again." xor:"what"`
	Reverse   bool `help:"Begin a stream from the destination to the source, so that going back loses nothing."`
	KeepFence bool `help:"Leave the source's tables closed when the gate is not green within migration.freeze.max.ms."`
	Yes       bool `help:"With --undo and no reverse stream: what was written at the destination is lost to the source."`
	JSON      bool `name:"json" help:"With --rehearse: write it as JSON."`
}

func (cmd *migrateCutover) Run(e *env) error {
	m, menv, err := cmd.open(e)
	if err != nil {
		return err
	}
	o := migrate.CutoverOptions{Reverse: cmd.Reverse, KeepFence: cmd.KeepFence, Lose: cmd.Yes}
	switch {
	case cmd.Rehearse:
		return cmd.rehearse(e, m, menv)
	case cmd.Undo:
		return m.Undo(e.ctx, menv, cmd.Wave, o)
	}
	if err = m.Cutover(e.ctx, menv, cmd.Wave, o); errors.Is(err, migrate.ErrNotGreen) {
		return different(err)
	}
	return err
}

func (cmd *migrateCutover) rehearse(e *env, m *migrate.Migration, menv migrate.Env) error {
	if cmd.JSON {
		menv.Out = e.stderr
	}
	r, err := m.Rehearse(e.ctx, menv, cmd.Wave)
	if err != nil {
		return err
	}
	if cmd.JSON {
		if err := e.writeJSON(r); err != nil {
			return err
		}
	} else {
		r.Print(e.stdout)
	}
	switch {
	case !r.Gate.Green():
		return different(migrate.ErrNotGreen)
	case r.FreezeMS > r.MaxFreezeMS:
		return different(errors.New("the freeze would be longer than migration.freeze.max.ms allows"))
	}
	return nil
}

type migrateCleanup struct {
	waveFlags `embed:""`

	Topics  bool `help:"Delete the wave's topics and its state, too."`
	Unfence bool `help:"Open the source's tables that the cut-over has closed."`
	Abandon bool `help:"Clean up a wave that is not cut over: its copy stays behind from then on."`
}

func (cmd *migrateCleanup) Run(e *env) error {
	m, menv, err := cmd.open(e)
	if err != nil {
		return err
	}
	return m.Cleanup(e.ctx, menv, cmd.Wave, migrate.CleanupOptions{Topics: cmd.Topics, Unfence: cmd.Unfence, Abandon: cmd.Abandon})
}
