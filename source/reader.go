package source

import (
	"context"
	"errors"

	"github.com/waltap/waltap/schema"
)

// Reader hands out changes in batches, for programs that embed waltap without its Kafka. Package changes has one.
type Reader interface {
	// ReadBatch returns the next batch, and how to acknowledge it; it waits until there is one, or ctx ends (its error). The changes are
	// the caller's. A Reader that scans hands out what the tables hold before any change (Source.Kind tells): whole rows, each in one batch, but
	// for those that come again, so that the batches may be applied in any order. Of the changes, those of one region come in the order of its log, but for replays: what was not acknowledged comes again, and what was
	// acknowledged may. A batch of a region is handed out when the one before it is acknowledged; those of different regions come as
	// they are read, and may be acknowledged in any order. It may be called by many goroutines at once.
	//
	// An error that is not that of ctx ends the Reader: ErrClosed after Close, io.EOF when it was to scan only and all of that is acknowledged,
	// else one that says what to do.
	ReadBatch(ctx context.Context) ([]schema.Change, AckFunc, error)
	// Close ends the reading. What was handed out and is not acknowledged comes again when the source is read again.
	Close() error
}

// AckFunc says what became of a batch: with nil that it is safe, so that the source may forget it; with an error that it is to come again. It
// is called once for each batch, from any goroutine, and does not block. As long as it is not called nothing more of the batch's regions comes.
type AckFunc func(err error)

// ErrClosed is the error of a Reader after Close.
var ErrClosed = errors.New("the reader is closed")
