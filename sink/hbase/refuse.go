package hbase

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/schema"
)

// refusal is what makes a single change one that the target cannot take.
type refusal struct{ text string }

func (e *refusal) Error() string { return e.text }

// maxFamily is HBase's longest family name: its length is a signed byte.
const maxFamily = math.MaxInt8

// checkChange refuses what HBase's wire cannot hold: lengths that it would cut off, so that other cells than these were written.
// waltap captures no such cell.
func checkChange(c *schema.Change) error {
	if n := len(c.Row); n == 0 || n > math.MaxInt16 {
		return &refusal{fmt.Sprintf("a row key of %d bytes: HBase's have 1 to %d", n, math.MaxInt16)}
	}
	for i := range c.Cells {
		k := &c.Cells[i]
		switch n := len(k.Family); {
		case n == 0 || n > maxFamily:
			return &refusal{fmt.Sprintf("cell %d: a family name of %d bytes: HBase's have 1 to %d", i, n, maxFamily)}
		case !k.Type.Valid():
			return &refusal{fmt.Sprintf("cell %d: HBase stores no cells of type %d", i, byte(k.Type))}
		case k.Timestamp == math.MaxInt64:
			return &refusal{fmt.Sprintf("cell %d: it has no timestamp: the target would give it its own time", i)}
		case len(k.Tags) > math.MaxUint16:
			return &refusal{fmt.Sprintf("cell %d: %d bytes of tags: HBase's limit is %d", i, len(k.Tags), math.MaxUint16)}
		}
	}
	return nil
}

// refusals are what region servers say about single cells and rows, as HBase 2.x words them. Everything else is taken for
// the target's trouble, and repeated.
var refusals = []string{
	"KeyValue size too large",       // hbase.client.keyvalue.maxsize of the region server that takes the call
	"exceeds limit of",              // hbase.server.keyvalue.maxsize of the one that holds the row
	"Row length is ",                // "0", "… is > 32767"
	"startRow's length must be",     // a row of the greatest length
	"Timestamp for KV out of range", // hbase.hregion.keyvalue.timestamp.slop.millisecs
	"FailedSanityCheckException",
}

// refusedByServer tells whether a call failed because of what one of its cells is; the error says so in short.
func refusedByServer(err error) (error, bool) {
	var remote *rpc.RemoteError
	if !errors.As(err, &remote) {
		return err, false
	}
	for _, text := range refusals {
		if strings.Contains(remote.Message, text) {
			return &remoteRefusal{line(remote.Message, text), err}, true
		}
		if strings.Contains(remote.Class, text) {
			return err, true
		}
	}
	return err, false
}

// remoteRefusal is what a server says of a change, without the story of how it got to say it.
type remoteRefusal struct {
	text string
	err  error
}

func (e *remoteRefusal) Error() string { return e.text }

func (e *remoteRefusal) Unwrap() error { return e.err }

// line is the line of a message that has text, from the exception's class on:
//
//	2026-11-21T08:47:20Z, host,16020,1795250834222, org.apache.hadoop.hbase.DoNotRetryIOException: …: Cell[…] with size …
func line(message, text string) string {
	for l := range strings.Lines(message) {
		if !strings.Contains(l, text) {
			continue
		}
		if i := strings.Index(l, ", org."); i >= 0 {
			l = l[i+2:]
		}
		class, rest, ok := strings.Cut(l, ": ")
		if ok && strings.HasPrefix(rest, class+": ") {
			l = rest // HBase names the class twice
		}
		return strings.TrimSpace(l)
	}
	return message
}
