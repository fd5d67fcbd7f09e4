package schema

import "strconv"

// Names of the headers of a data record. All values are text.
const (
	HeaderOp        = "waltap.op"     // put, update or delete
	HeaderTable     = "waltap.table"  // namespace:table
	HeaderSequence  = "waltap.seq"    // Change.Sequence, decimal
	HeaderTimestamp = "waltap.ts"     // Change.Timestamp, decimal milliseconds
	HeaderSource    = "waltap.source" // scan or wal
)

var (
	opTexts   = [...][]byte{OpPut: []byte("put"), OpUpdate: []byte("update"), OpDelete: []byte("delete")}
	kindTexts = [...][]byte{KindScan: []byte("scan"), KindWAL: []byte("wal")}
)

// AppendHeaders appends the five headers of c's data record to dst. The text
// of those that vary is appended to arena, which the headers then alias:
// arena's bytes may be reused only when the headers are done with. Header
// values must not be written to.
//
// H is the header type of a Kafka client, such as kafka.Header.
func AppendHeaders[H ~struct {
	Key   string
	Value []byte
}](dst []H, arena []byte, c *Change) ([]H, []byte) {
	add := func(key string, value []byte) {
		dst = append(dst, H(struct {
			Key   string
			Value []byte
		}{key, value}))
	}
	added := func(start int) []byte { return arena[start:len(arena):len(arena)] }

	add(HeaderOp, opTexts[c.Op()])
	start := len(arena)
	arena = append(arena, c.Table...)
	add(HeaderTable, added(start))
	start = len(arena)
	arena = strconv.AppendUint(arena, c.Sequence, 10)
	add(HeaderSequence, added(start))
	start = len(arena)
	arena = strconv.AppendInt(arena, c.Timestamp, 10)
	add(HeaderTimestamp, added(start))
	if int(c.Source.Kind) < len(kindTexts) {
		add(HeaderSource, kindTexts[c.Source.Kind])
	}
	return dst, arena
}
