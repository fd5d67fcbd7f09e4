package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// readAllBytes is the fetch size of ReadAll.
const readAllBytes = 4 << 20

// ReadAll calls each for every record of every partition, from the log's start to its end at the time of the call, in
// order within a partition, the partitions one after the other. It is meant for compacted topics. Records that retention
// deletes meanwhile may be missing. An error of each ends it and is returned as it is.
func (c *Client) ReadAll(ctx context.Context, topic string, each func(Record) error) error {
	ends, err := c.EndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	starts, err := c.StartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	partitions := make([]int32, 0, len(ends))
	for p := range ends {
		partitions = append(partitions, p)
	}
	slices.Sort(partitions)
	for _, p := range partitions {
		if err := c.ReadRange(ctx, TopicPartition{topic, p}, starts[p], ends[p], each); err != nil {
			return err
		}
	}
	return nil
}

// ReadRange calls each for the records of tp with offsets in [from, to), as ReadAll does. Offsets below the log's start
// are passed over.
func (c *Client) ReadRange(ctx context.Context, tp TopicPartition, from, to int64, each func(Record) error) error {
	empty, progress := 0, time.Now()
	for offset := from; offset < to; {
		res, err := c.Fetch(ctx, tp, offset, readAllBytes, time.Second)
		if oor, ok := errors.AsType[*OffsetOutOfRangeError](err); ok && oor.LogStart > offset {
			offset = oor.LogStart
			continue
		}
		if err != nil {
			return err
		}
		for i := range res.Records {
			if res.Records[i].Offset >= to {
				return nil
			}
			if err := each(res.Records[i]); err != nil {
				return err
			}
		}
		if res.NextOffset > offset {
			offset, empty, progress = res.NextOffset, 0, time.Now()
			continue
		}
		// Nothing came although the log went on. Either compaction has removed every record up to the end (then there is
		// no batch to carry the reader over the hole, and the broker answers so each time), or the partition has a new
		// leader whose high watermark lags.
		if empty++; res.HighWatermark >= to && empty >= 3 {
			return nil
		}
		if time.Since(progress) > c.cfg.APITimeout {
			return fmt.Errorf("read %s: the log ends at offset %d, it ended at %d before: the topic was truncated or created anew",
				tp, res.HighWatermark, to)
		}
	}
	return nil
}
