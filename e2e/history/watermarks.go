package history

import (
	"fmt"

	"github.com/waltap/waltap/checkpoint"
)

// CheckWatermarks checks what watermarks say by the writers' own clocks: each write that was acknowledged before a
// watermark's time lies in the topic, below the offsets published with it. An estimated one promises nothing. It returns
// what is untrue.
func CheckWatermarks(writes []Write, records []Record, watermarks []checkpoint.Watermark) []string {
	var out []string
	all := rows(writes, records, false)
	for _, m := range watermarks {
		if m.Estimated {
			continue
		}
		for _, r := range all {
			for i, w := range r.writes {
				if w.Acked == 0 || w.Acked >= m.Time {
					continue
				}
				p := r.places[i]
				switch {
				case p == nil && len(w.Cells) == 0: // it may be among what the scan has; Check tells if it is lost
				case p == nil:
					out = append(out, fmt.Sprintf("watermark %d: %v is not in the topic", m.Time, w))
				case p.offset >= m.Offsets[p.topic][p.partition]:
					out = append(out, fmt.Sprintf("watermark %d (published %d): %v is at %s/%d offset %d, the end it names is %d",
						m.Time, m.Published, w, p.topic, p.partition, p.offset, m.Offsets[p.topic][p.partition]))
				}
			}
		}
	}
	return out
}
