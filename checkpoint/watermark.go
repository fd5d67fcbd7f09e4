package checkpoint

import (
	"encoding/json"
	"fmt"
)

// WatermarkFormatVersion is the version of the watermarks this release writes.
const WatermarkFormatVersion = 1

// Watermark is what a source publishes on its watermarks topic (schema.WatermarksTopic), under its connector's name as key:
// every captured change that HBase acknowledged to its writer before Time is in Kafka, below Offsets. A sink that
// has committed up to Offsets has all of it.
//
// It is no statement about Change.Timestamp: an edit gets its write time before it is appended, so one with a
// timestamp at or below Time may still follow when it was acknowledged after Time.
type Watermark struct {
	FormatVersion int    `json:"formatVersion"`
	Connector     string `json:"connector"`
	Time          int64  `json:"time"`      // ms, by the source connector's clock
	Published     int64  `json:"published"` // ms, by the same clock
	// Estimated: taken from the source's own metrics (watermark.mode=metrics), not proved.
	Estimated bool `json:"estimated"`
	// Offsets are the ends of all data partitions, by topic and partition, read after Time was proved.
	Offsets map[string]map[int32]int64 `json:"offsets"`
}

// ParseWatermark reads a published watermark; one of a newer format is an error.
func ParseWatermark(b []byte) (*Watermark, error) {
	var w Watermark
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("read watermark: %w", err)
	}
	switch {
	case w.FormatVersion > WatermarkFormatVersion:
		return nil, fmt.Errorf("read watermark of %q: format version %d is newer than %d: upgrade waltap", w.Connector, w.FormatVersion, WatermarkFormatVersion)
	case w.FormatVersion < 1 || w.Connector == "" || w.Time < 0:
		return nil, fmt.Errorf("read watermark: %q is none", b)
	}
	for topic, partitions := range w.Offsets {
		for p, offset := range partitions {
			if p < 0 || offset < 0 {
				return nil, fmt.Errorf("read watermark of %q: offset %d of %s/%d", w.Connector, offset, topic, p)
			}
		}
	}
	return &w, nil
}
