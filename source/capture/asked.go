package capture

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/scan"
)

// Asked is a scan of tables that somebody asks for while their changes flow, or the end of such scans. It is kept on the offsets topic
// until it is carried out, so it outlives the processes: partition {"asked":ID}.
//
// A table that is scanned so begins a new epoch, as after a gap: a sink takes what the scan brings although it has applied newer
// cells of the epoch before, and a row that was removed at a destination is there again.
type Asked struct {
	// At is when it was asked for, ns. Those of a connector are carried out in this order.
	At int64 `json:"at"`
	// Signal is the id that its sender gave it, for people.
	Signal string `json:"signal,omitempty"`
	// Stop: scans that were asked for before are to end.
	Stop bool `json:"stop,omitempty"`
	// Tables are regular expressions that match whole names, namespace:table. None, with Stop: all.
	Tables []string `json:"tables,omitempty"`
	// Rows narrows the tables that its expression matches; the first that matches counts.
	Rows []AskedRows `json:"rows,omitempty"`
	// Held: the changes of all tables wait in HBase's WAL meanwhile, as in exact order.
	Held bool `json:"held,omitempty"`
	// Left are the tables that are still to be begun; nil: it was not looked at yet. Of the capture.
	Left []string `json:"left,omitempty"`

	id string
}

// AskedRows are the rows from Start, inclusive, to Stop, exclusive; empty: no bound.
type AskedRows struct {
	Table string `json:"table"`
	Start []byte `json:"start,omitempty"`
	Stop  []byte `json:"stop,omitempty"`
}

const askedKey = "asked"

// Ask keeps a on the offsets topic. The capture looks there once a second.
func Ask(ctx context.Context, store *checkpoint.Store, connector string, a Asked) error {
	if _, err := a.matcher(); err != nil {
		return err
	}
	a.At = time.Now().UnixNano()
	unique := make([]byte, 4)
	rand.Read(unique) // never fails
	id := strconv.FormatInt(a.At, 10) + "-" + hex.EncodeToString(unique)
	if err := store.Put(ctx, connector, map[string]string{askedKey: id}, a); err != nil {
		return fmt.Errorf("keep what was asked of connector %s: %w", connector, err)
	}
	return nil
}

// matcher tells which tables are meant.
func (a *Asked) matcher() (func(table string) bool, error) {
	match, err := matchAny(a.Tables)
	if err != nil {
		return nil, err
	}
	for _, r := range a.Rows {
		if _, err := matchAny([]string{r.Table}); err != nil {
			return nil, err
		}
	}
	if a.Stop && len(a.Tables) == 0 {
		return func(string) bool { return true }, nil
	}
	return match, nil
}

func matchAny(expressions []string) (func(table string) bool, error) {
	list := make([]*regexp.Regexp, len(expressions))
	for i, e := range expressions {
		re, err := regexp.Compile("^(?:" + e + ")$")
		if err != nil {
			return nil, fmt.Errorf("%q is not a regular expression: %w", e, err)
		}
		list[i] = re
	}
	return func(table string) bool {
		return slices.ContainsFunc(list, func(re *regexp.Regexp) bool { return re.MatchString(table) })
	}, nil
}

// rows are the bounds for a table.
func (a *Asked) rows(table string) (start, stop []byte) {
	for _, r := range a.Rows {
		if match, err := matchAny([]string{r.Table}); err == nil && match(table) {
			return r.Start, r.Stop
		}
	}
	return nil, nil
}

// askedScan is in the state of a table whose scan was asked for and is not complete.
type askedScan struct {
	Signal string `json:"signal,omitempty"`
	Start  []byte `json:"start,omitempty"`
	Stop   []byte `json:"stop,omitempty"`
	Held   bool   `json:"held,omitempty"` // until changes flow again
}

// narrow is the scope of the scan.
func (s *askedScan) narrow(scope schema.Scope) schema.Scope {
	if bytes.Compare(s.Start, scope.RowStart) > 0 {
		scope.RowStart = s.Start
	}
	if len(s.Stop) > 0 && (len(scope.RowStop) == 0 || bytes.Compare(s.Stop, scope.RowStop) < 0) {
		scope.RowStop = s.Stop
	}
	return scope
}

// asked lists what was asked for and is not carried out, in order.
func (s *state) asked() ([]Asked, error) {
	var out []Asked
	err := s.store.Each(s.connector, func(partition map[string]string, offset json.RawMessage) error {
		id := partition[askedKey]
		if id == "" {
			return nil
		}
		a := Asked{id: id}
		if err := json.Unmarshal(offset, &a); err != nil {
			return fmt.Errorf("read what was asked for (%s): %w", id, err)
		}
		out = append(out, a)
		return nil
	})
	slices.SortStableFunc(out, func(a, b Asked) int { return int(min(1, max(-1, a.At-b.At))) })
	return out, err
}

// saveAsked keeps what is left of a; nothing: it is carried out.
func (s *state) saveAsked(ctx context.Context, a Asked) error {
	key := map[string]string{askedKey: a.id}
	var err error
	if a.Stop || len(a.Left) == 0 {
		err = s.store.Delete(ctx, s.connector, key)
	} else {
		err = s.store.Put(ctx, s.connector, key, a)
	}
	if err != nil {
		return fmt.Errorf("save what was asked for (%s): %w", a.id, err)
	}
	return nil
}

// errHold ends a capture that is to begin again with its peer held.
var errHold = errors.New("a scan was asked for during which the changes wait")

// obey carries out what was asked for. It belongs to the watch loop. errHold: the capture is to begin anew.
func (c *Capture) obey(ctx context.Context) error {
	all, err := c.readAsked(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	hold := false
	for i := range all {
		switch a := &all[i]; {
		case a.Stop:
			err = c.obeyStop(ctx, *a, all[:i])
		default:
			err = c.obeyScan(ctx, a)
			hold = hold || err == nil && a.Held && slices.ContainsFunc(c.tables, func(t captured) bool { return t.held() })
		}
		if err != nil {
			return err
		}
	}
	if hold {
		return errHold
	}
	c.scanNext(ctx)
	c.showFlow()
	return nil
}

// readAsked lists what is to be carried out; nothing, as long as nobody has written to the offsets topic since all was.
func (c *Capture) readAsked(ctx context.Context) ([]Asked, error) {
	err := c.state.store.Refresh(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && kafka.Retriable(err):
		c.cfg.Stats.Retry(err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	n := c.state.store.Changes()
	if n == c.obeyed {
		return nil, nil
	}
	all, err := c.state.asked()
	if err == nil && len(all) == 0 {
		c.obeyed = n
	}
	return all, err
}

// held tells whether the table's scan is one during which changes are to wait, and they flow still.
func (t *captured) held() bool {
	return t.unscanned() && t.state.Asked != nil && t.state.Asked.Held && !t.state.Concurrent
}

// obeyScan begins the scans of a, but for those of tables that are being scanned or are not as they should be: these begin later.
func (c *Capture) obeyScan(ctx context.Context, a *Asked) error {
	names, first := a.Left, a.Left == nil
	if first {
		match, err := a.matcher()
		if err != nil {
			return c.refuseAsked(ctx, *a, err.Error())
		}
		for i := range c.tables {
			if t := &c.tables[i]; !t.gone && match(t.name) {
				names = append(names, t.name)
			}
		}
		if len(names) == 0 {
			return c.refuseAsked(ctx, *a, "no table that is captured matches "+strings.Join(a.Tables, ", "))
		}
	}
	if a.Held && !c.cfg.PeerCreate {
		return c.refuseAsked(ctx, *a, "hbase.peer.create: false leaves the peer to you, so its changes cannot wait: ask for an incremental scan")
	}
	var later []string
	for _, name := range names {
		i := slices.IndexFunc(c.tables, func(t captured) bool { return t.name == name })
		switch {
		case i < 0 || c.tables[i].gone:
			c.cfg.Log.Warn("a scan that was asked for does not begin: the source has no such table any more", "table", name, "signal", a.Signal)
		case c.tables[i].state.AskedID == a.id: // begun, and not taken off the list
		case c.tables[i].joining || c.tables[i].state.Gap != "" || c.tables[i].unscanned():
			later = append(later, name)
		default:
			if err := c.begin(ctx, &c.tables[i], a); err != nil {
				return err
			}
		}
	}
	if !first && slices.Equal(later, a.Left) {
		return nil
	}
	if len(later) > 0 {
		c.cfg.Log.Info("scans that were asked for begin when those tables are scanned, or are as they should be", "tables", later, "signal", a.Signal)
	}
	a.Left = later
	return c.state.saveAsked(ctx, *a)
}

// refuseAsked drops what can never be carried out.
func (c *Capture) refuseAsked(ctx context.Context, a Asked, why string) error {
	c.cfg.Log.Error("a scan that was asked for is refused", "signal", a.Signal, "reason", why)
	a.Left = nil
	return c.state.saveAsked(ctx, a)
}

// begin begins the scan of a table whose changes flow.
func (c *Capture) begin(ctx context.Context, t *captured, a *Asked) error {
	s := &askedScan{Signal: a.Signal, Held: a.Held}
	s.Start, s.Stop = a.rows(t.name)
	if scope := s.narrow(c.cfg.Scope); len(scope.RowStop) > 0 && bytes.Compare(scope.RowStart, scope.RowStop) >= 0 {
		c.cfg.Log.Error("a scan that was asked for is refused", "signal", a.Signal, "table", t.name,
			"reason", "no row of the filter lies between row.start and row.stop of this connector")
		return nil
	}
	if err := c.state.clearRanges(ctx, t.name); err != nil {
		return err
	}
	st := t.state
	st.Epoch++
	st.Captured, st.Scanned, st.Stopped, st.Later = false, 0, false, nil
	st.Asked, st.AskedID, st.Concurrent = s, a.id, !a.Held
	t.state = st
	c.cfg.Log.Info("a scan begins that was asked for", "table", t.name, "epoch", st.Epoch, "signal", a.Signal, "blocking", a.Held)
	if a.Held { // the receiver learns it when the capture begins again
		return c.state.saveTable(ctx, t.name, t.state)
	}
	return c.announce(ctx, []captured{*t})
}

// obeyStop ends scans that were asked for; before holds those that were asked for earlier and wait.
func (c *Capture) obeyStop(ctx context.Context, a Asked, before []Asked) error {
	match, err := a.matcher()
	if err != nil {
		return c.refuseAsked(ctx, a, err.Error())
	}
	ended := 0
	for i := range before {
		left := slices.DeleteFunc(slices.Clone(before[i].Left), match)
		if before[i].Stop || len(left) == len(before[i].Left) {
			continue
		}
		c.cfg.Log.Info("scans that were asked for do not begin", "tables", len(before[i].Left)-len(left), "signal", a.Signal)
		ended += len(before[i].Left) - len(left)
		before[i].Left = left
		if err := c.state.saveAsked(ctx, before[i]); err != nil {
			return err
		}
	}
	for i := range c.tables {
		t := &c.tables[i]
		if !t.unscanned() || t.state.Asked == nil || !match(t.name) {
			continue
		}
		c.background.stop(t.name)
		// Nothing of its stream may be left out: a part of the table was not scanned, and late records of the scan may follow.
		t.state.Stopped, t.state.Concurrent = true, true
		if err := c.setCaptured(ctx, t); err != nil {
			return err
		}
		c.cfg.Stats.Shards(0, 0)
		c.cfg.Log.Info("a scan that was asked for is stopped", "table", t.name, "signal", a.Signal)
		ended++
	}
	if ended == 0 {
		c.cfg.Log.Info("there is no scan that was asked for, so none is stopped", "signal", a.Signal)
	}
	return c.state.saveAsked(ctx, a)
}

// scanAsked is scan, which a stop ends for tables whose scan was asked for.
func (c *Capture) scanAsked(ctx context.Context) error {
	for {
		sctx, cancel := context.WithCancelCause(ctx)
		var watching sync.WaitGroup
		if slices.ContainsFunc(c.tables, func(t captured) bool { return t.unscanned() && t.state.Asked != nil }) {
			watching.Go(func() {
				for sleep(sctx, lookInterval) == nil {
					if all, err := c.state.asked(); err == nil && slices.ContainsFunc(all, func(a Asked) bool { return a.Stop }) {
						cancel(errStopped)
					}
				}
			})
		}
		err := c.scan(sctx)
		stopped := errors.Is(context.Cause(sctx), errStopped)
		cancel(nil)
		watching.Wait()
		if !stopped || ctx.Err() != nil {
			return err
		}
		all, err := c.state.asked()
		if err != nil {
			return err
		}
		for i, a := range all {
			if !a.Stop {
				continue
			}
			if err := c.obeyStop(ctx, a, all[:i]); err != nil {
				return err
			}
		}
	}
}

var errStopped = errors.New("a stop was asked for")

// askedText says of a table that is scanned who asked for it; "" when nobody did.
func (t *captured) askedText() string {
	switch {
	case t.state.Asked == nil:
		return ""
	case t.state.Asked.Signal == "":
		return " (execute-snapshot)"
	}
	return fmt.Sprintf(" (execute-snapshot %q)", t.state.Asked.Signal)
}

// narrowed is what is scanned of a table.
func (c *Capture) narrowed(t *captured) scan.Table {
	s := c.scanTable(t)
	if t.state.Asked != nil {
		scope := t.state.Asked.narrow(c.cfg.Scope)
		s.Scope = &scope
	}
	return s
}
