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
// Only what lies before the committed offset counts: all of it was applied. A record that cannot be read was dealt with when
// it was its turn.
func (w *worker) warm(ctx context.Context, committed int64) error {
	from := max(0, committed-warmRecords)
	var decoder schema.Decoder
	for from < committed {
		var res kafka.FetchResult
		err := w.retry(ctx, func() (err error) {
			res, err = w.cfg.Kafka.Fetch(ctx, w.tp, from, int(w.cfg.BatchBytes), fetchWait)
			return err
		})
		var gone *kafka.OffsetOutOfRangeError
		if errors.As(err, &gone) && gone.LogStart > from {
			from = gone.LogStart
			continue
		}
		if err != nil {
			return fmt.Errorf("read back %s/%d from offset %d: %w", w.tp.Topic, w.tp.Partition, from, err)
		}
		for i := range res.Records {
			r := &res.Records[i]
			var c schema.Change
			if r.Offset < committed && decoder.Decode(r.Value, &c) == nil {
				w.recent.filter(&c)
			}
		}
		from = res.NextOffset
	}
	w.recent.warm = true
	return nil
}
