// Package tail shows the records of data topics to people and to other programs: decoded, filtered, as lines.
package tail

import (
	"github.com/waltap/waltap/schema"
)

// Decoder reads record values. The zero value is ready for use; not safe for concurrent use.
type Decoder struct{ d schema.Decoder }

// Decode reads one value. It is the only place at which the tools (tail, decode, dlq) decode.
func (d *Decoder) Decode(value []byte, c *schema.Change) error { return d.d.Decode(value, c) }
