package status

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	progressInterval = time.Second
	idleInterval     = 10 * time.Second
)

// Progress tells people how a process gets on: a line per connector and
// second while something changes, one in ten seconds while nothing does.
type Progress struct {
	process *Process
	out     io.Writer    // for text
	log     *slog.Logger // for structured records, else nil
	last    map[*Connector]*progressPoint
}

// progressPoint is what was told of a connector last.
type progressPoint struct {
	view  ConnectorView
	seen  time.Time // when view was taken
	shown time.Time // when a line was written
}

// NewProgress writes lines of text to out.
func NewProgress(p *Process, out io.Writer) *Progress { return &Progress{process: p, out: out} }

// NewProgressLog logs a structured record where NewProgress writes a line.
func NewProgressLog(p *Process, log *slog.Logger) *Progress { return &Progress{process: p, log: log} }

// Run writes until ctx ends, and then once more what changed since. The error
// is that of a write; a context that ends is none.
func (p *Progress) Run(ctx context.Context) error {
	if err := p.step(ctx, time.Now()); err != nil {
		return err
	}
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return p.step(context.WithoutCancel(ctx), time.Now())
		case now := <-tick.C:
			if err := p.step(ctx, now); err != nil {
				return err
			}
		}
	}
}

// step takes the present status and writes the lines that are due.
func (p *Progress) step(ctx context.Context, now time.Time) error {
	if p.last == nil {
		p.last = make(map[*Connector]*progressPoint)
	}
	all := p.process.Now()
	maps.DeleteFunc(p.last, func(c *Connector, _ *progressPoint) bool { return !slices.Contains(all, c) })
	for _, c := range all {
		last := p.last[c]
		if last == nil {
			last = new(progressPoint)
			p.last[c] = last
		}
		view := c.View()
		due := last.shown.IsZero() || changed(&last.view, &view) || now.Sub(last.shown) >= idleInterval
		if due {
			if err := p.write(ctx, measure(last, &view, now)); err != nil {
				return fmt.Errorf("write progress: %w", err)
			}
			last.shown = now
		}
		last.view, last.seen = view, now
	}
	return nil
}

func changed(a, b *ConnectorView) bool {
	if (a.Snapshot == nil) != (b.Snapshot == nil) || a.Snapshot != nil && a.Snapshot.moved() != b.Snapshot.moved() {
		return true
	}
	return a.State != b.State || a.Phase != b.Phase || a.Error != b.Error ||
		a.Records != b.Records || a.Replays != b.Replays || a.Retries != b.Retries
}

// measured is a connector's status with its rates since the step before.
type measured struct {
	*ConnectorView
	recordsPerSecond, bytesPerSecond float64
}

func measure(last *progressPoint, view *ConnectorView, now time.Time) measured {
	m := measured{ConnectorView: view}
	if elapsed := now.Sub(last.seen).Seconds(); !last.seen.IsZero() && elapsed > 0 {
		m.recordsPerSecond = float64(view.Records-last.view.Records) / elapsed
		m.bytesPerSecond = float64(view.Bytes-last.view.Bytes) / elapsed
	}
	return m
}

func (p *Progress) write(ctx context.Context, m measured) error {
	if p.log != nil {
		p.log.LogAttrs(ctx, m.level(), "progress", m.attrs()...)
		return nil
	}
	_, err := io.WriteString(p.out, m.line()+"\n")
	return err
}

func (m measured) level() slog.Level {
	if m.State == Failed {
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (m measured) attrs() []slog.Attr {
	attrs := []slog.Attr{
		slog.String("connector", m.Name), slog.String("state", string(m.State)),
		slog.Int64("records", m.Records), slog.Float64("records_per_second", m.recordsPerSecond),
		slog.Float64("bytes_per_second", m.bytesPerSecond),
	}
	if m.LagMS != nil {
		attrs = append(attrs, slog.Int64("lag_ms", *m.LagMS))
	}
	if w := m.Watermark; w != nil && w.Time != nil {
		attrs = append(attrs, slog.Time("watermark", *w.Time), slog.Bool("watermark_estimated", w.Estimated))
	}
	if s := m.Snapshot; s != nil {
		attrs = append(attrs, slog.Int64("shards_done", s.ShardsDone), slog.Int64("shards_total", s.ShardsTotal), slog.Int64("rows", s.Rows), slog.Int64("snapshot_bytes", s.Bytes), slog.Int64("seconds_left", s.SecondsLeft))
	}
	for _, c := range m.incidents() {
		attrs = append(attrs, slog.Int64(c.name, c.count))
	}
	if m.Phase != "" {
		attrs = append(attrs, slog.String("phase", m.Phase))
	}
	if m.Error != "" {
		attrs = append(attrs, slog.String("error", m.Error))
	}
	return attrs
}

// line is such as
//
//	orders-source SNAPSHOT 12 345 records/s, 10.2 MB/s, lag 1.2 s, shards 3/8 rows 120 034, total 98 765 records
func (m measured) line() string {
	parts := []string{
		grouped(int64(m.recordsPerSecond+0.5)) + " records/s",
		strconv.FormatFloat(m.bytesPerSecond/1e6, 'f', 1, 64) + " MB/s",
	}
	if m.LagMS != nil {
		parts = append(parts, fmt.Sprintf("lag %.1f s", float64(*m.LagMS)/1000))
	}
	if s := m.Snapshot; s != nil && m.State == Snapshot {
		parts = append(parts, fmt.Sprintf("shards %d/%d rows %s", s.ShardsDone, s.ShardsTotal, grouped(s.Rows)))
		if s.SecondsLeft > 0 {
			parts = append(parts, "left "+(time.Duration(s.SecondsLeft)*time.Second).String())
		}
	}
	if w := m.Watermark.text(); w != "" {
		parts = append(parts, w)
	}
	parts = append(parts, "total "+grouped(m.Records)+" records")
	for _, c := range m.incidents() {
		parts = append(parts, grouped(c.count)+" "+c.name)
	}
	for _, text := range []string{m.Phase, m.Error} {
		if text != "" {
			parts = append(parts, oneLine(text))
		}
	}
	return fmt.Sprintf("%s %s %s", m.Name, m.State, strings.Join(parts, ", "))
}

// oneLine puts a few lines into one; of many, such as commands to run, only the first: the whole ends the log and is in
// /status.
func oneLine(text string) string {
	if first, _, _ := strings.Cut(text, "\n"); strings.Count(text, "\n") > 4 {
		return first + " …"
	}
	return strings.ReplaceAll(text, "\n", "; ")
}

type incident struct {
	name  string
	count int64
}

// incidents are the counters that are told only when there is something to tell.
func (m measured) incidents() []incident {
	var list []incident
	for _, c := range []incident{{"replays", m.Replays}, {"retries", m.Retries}, {"late", m.LateRecords}} {
		if c.count > 0 {
			list = append(list, c)
		}
	}
	return list
}

// grouped writes a number with a blank between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	digits := strings.TrimPrefix(s, "-")
	sign := s[:len(s)-len(digits)]
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return sign + digits
}
