package sink

import (
	"context"
	"errors"
	"fmt"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// warmRecords before the committed offset are read again, not to be applied but to be remembered.
const warmRecords = 20_000

// warm fills the memory of recent cells when a process begins where its group stands. Without it, a replay that HBase ships
// behind the restart of a sink could undo what was applied shortly before it (see recent).
//
// Only what was applied counts: what lies between p.from and p.next. A record that cannot be read was dealt with when it was
// its turn.
func (w *worker) warm(ctx context.Context, p position) error {
	from := max(p.from, p.next-warmRecords)
	if from < p.next {
		decoder := w.cfg.Schemas.NewDecoder()
		err := w.retry(ctx, func() error {
			return w.cfg.Kafka.ReadRange(ctx, w.tp, from, p.next, func(r kafka.Record) error {
				var c schema.Change
				var unreadable *UnreadableError
				if err := w.decode(ctx, decoder, &kafka.RawRecord{Value: r.Value, Offset: r.Offset}, &c); err == nil {
					w.recent.begin()
					w.recent.filter(&c)
				} else if !errors.As(err, &unreadable) {
					return err
				}
				return nil
			})
		})
		if err != nil {
			return fmt.Errorf("read back %s from offset %d: %w", w.tp, from, err)
		}
	}
	w.recent.warm = true
	return nil
}
