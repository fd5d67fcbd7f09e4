package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Rehearsal is what a cut-over would find now, and how long it would keep writers waiting.
type Rehearsal struct {
	Wave string `json:"wave"`
	Gate Gate   `json:"gate"`
	// Regions of the tables to be closed; ClosingMS is an assumption made of them, the others were measured.
	Regions     int   `json:"regions"`
	ClosingMS   int64 `json:"closingMs"`
	WatermarkMS int64 `json:"watermarkMs"` // until the watermark had passed the begin of the rehearsal
	SinkMS      int64 `json:"sinkMs"`      // and, after that, the sink the watermark
	VerifyMS    int64 `json:"verifyMs"`    // comparing what has changed since the last clean pass; 0: there was none
	FreezeMS    int64 `json:"freezeMs"`    // all of it
	MaxFreezeMS int64 `json:"maxFreezeMs"` // what migration.freeze.max.ms allows
}

// Freeze is how long writers are likely to be kept waiting.
func (r *Rehearsal) Freeze() time.Duration { return time.Duration(r.FreezeMS) * time.Millisecond }

// Rehearse does all that a cut-over does but for closing the tables, and predicts the freeze. A clean pass of verify that it makes counts:
// the next one compares what has changed since.
func (m *Migration) Rehearse(ctx context.Context, e Env, wave string) (r *Rehearsal, err error) {
	s, w, st, err := m.on(ctx, e, wave)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if st.Phase != PhaseStarted {
		return nil, fmt.Errorf("wave %s is %s: there is nothing to rehearse", w.Name, st.Phase)
	}
	return s.rehearse(ctx, w, st)
}

func (s *session) rehearse(ctx context.Context, w *Wave, st *State) (*Rehearsal, error) {
	r := &Rehearsal{Wave: w.Name, MaxFreezeMS: s.maxFreeze.Milliseconds()}
	status, err := s.src.Status(ctx)
	if err != nil {
		return nil, err
	}
	sizes := sizesOf(status)
	for _, t := range st.Tables {
		n := sizes[t.Source].Regions
		r.Regions += n
		r.ClosingMS += (openTable + time.Duration(n)*openRegion).Milliseconds()
	}
	r.ClosingMS /= int64(min(atOnce, max(1, len(st.Tables))))
	p, err := s.forwardPair(w, st)
	if err != nil {
		return nil, err
	}
	first, err := s.facts(ctx, w, st, 0, 0)
	if err != nil {
		return nil, err
	}
	if first.Watermark == nil || !first.running().Green || !first.scan().Green || !first.gaps().Green {
		r.Gate = Judge(first, false) // nothing moves: there is nothing to wait for
		return r, s.keepGate(ctx, w, r.Gate, false)
	}
	ctx, cancel := context.WithTimeout(ctx, rehearseTimeout)
	defer cancel()
	from, err := s.marksEnd(ctx, p)
	if err != nil {
		return nil, err
	}
	at, err := s.timeStream(ctx, p, from, r)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	if v := st.Verified; err == nil && v != nil && v.Base != nil && v.Base.Clean && covers(v.Base.Tables, p.tables) {
		began := time.Now()
		_, pass, err := s.compare(ctx, w, st, VerifyOptions{})
		if err != nil {
			return nil, err
		}
		r.VerifyMS = time.Since(began).Milliseconds()
		v.Base = pass
		if err := s.store.save(ctx, w.Name, st); err != nil {
			return nil, err
		}
	}
	f, err := s.facts(context.WithoutCancel(ctx), w, st, from, at)
	if err != nil {
		return nil, err
	}
	r.Gate = Judge(f, false)
	r.FreezeMS = r.ClosingMS + r.WatermarkMS + r.SinkMS + r.VerifyMS
	return r, s.keepGate(context.WithoutCancel(ctx), w, r.Gate, false)
}

// timeStream measures how long what is written now, when the watermarks end at offset from, takes to the destination. It returns a moment
// of now, by the source connector's clock.
func (s *session) timeStream(ctx context.Context, p *pair, from int64, r *Rehearsal) (at int64, err error) {
	began := time.Now()
	err = s.await(ctx, "the watermark", func() (bool, error) {
		if at == 0 {
			if at, err = s.momentAfter(ctx, p, from); err != nil || at == 0 {
				return false, err
			}
		}
		mark, err := s.watermark(ctx, p, from, at)
		return mark != nil && mark.Time >= at, err
	})
	if err != nil {
		return at, err
	}
	r.WatermarkMS = time.Since(began).Milliseconds()
	began = time.Now()
	mark, err := s.watermark(ctx, p, from, at)
	if err != nil {
		return at, err
	}
	err = s.await(ctx, "the sink", func() (bool, error) {
		behind, err := s.behind(ctx, p, mark)
		return len(behind) == 0, err
	})
	r.SinkMS = time.Since(began).Milliseconds()
	return at, err
}

// printGate writes a line for each condition.
func printGate(out io.Writer, g Gate) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, c := range g {
		light := "green"
		if !c.Green {
			light = "RED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", light, c.Name, c.Text)
	}
	w.Flush()
}

// Print writes the rehearsal for people.
func (r *Rehearsal) Print(out io.Writer) {
	printGate(out, r.Gate)
	ms := func(n int64) string { return round(time.Duration(n) * time.Millisecond) }
	fmt.Fprintf(out, "closing %s: about %s (assumed)\nwatermark: %s\nsink: %s\nlast verify: %s\nthe freeze is likely to last %s, migration.freeze.max.ms allows %s\n",
		plural(r.Regions, "region", "regions"), ms(r.ClosingMS), ms(r.WatermarkMS), ms(r.SinkMS), ms(r.VerifyMS), ms(r.FreezeMS), ms(r.MaxFreezeMS))
}
