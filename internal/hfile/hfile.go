// Package hfile reads HBase's HFiles, the files a store keeps its cells in: format versions 3 and 2, all data block encodings, tags,
// sequence ids, and the compressions GZ, SNAPPY, LZ4 and ZSTD. It knows neither HBase's servers nor a file system: a file is an
// [io.ReaderAt] and its size.
//
// A file is a row of blocks, between which nothing lies, and a trailer:
//
//	+-------------------------------------------------------+----------------------------------------------+---------+
//	| data blocks, among them leaf index and bloom blocks,  | load-on-open section: data index root, meta  | trailer |
//	| then meta blocks and the index's middle levels        | index, file info, bloom meta                 |         |
//	+-------------------------------------------------------+----------------------------------------------+---------+
//
// trailer.go, block.go, index.go and the encoding_*.go have the bytes of each. All integers are big-endian where nothing else is
// said. The cells are in HBase's order: row, family, qualifier, timestamp from the newest, type from the highest, sequence id from the
// highest. (HBase: FixedFileTrailer, HFileBlock, HFileBlockIndex, HFileReaderImpl.)
//
// Nothing of a file is trusted. The checksum of a block is verified before anything else is done with it, lengths are checked
// against the bytes that are there, memory is bounded by Options, the chain of the data blocks and the number of the file's cells
// must be what the file says of them: a damaged file gives a [CorruptError], never a wrong cell. A file of a kind that is
// not read gives an [UnsupportedError], from Open wherever its trailer tells.
package hfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/waltap/waltap/internal/hbase/cell"
)

// Cell is one cell of a file.
type Cell struct {
	cell.Cell
	// Sequence orders cells that are equal in all else: the highest is the newest. 0 when the file has none (MVCC), and for cells that
	// a compaction found older than every reader.
	Sequence int64
}

// Options says how a file is read; the zero value does.
type Options struct {
	// Name of the file, for errors.
	Name string
	// Workers is how many goroutines verify and decompress the blocks of each Scanner, ahead of it; one more reads. 0: all is done
	// in Next, without a goroutine.
	Workers int
	// ReadAhead bounds the bytes, compressed and not, of the blocks that are in the hands of a Scanner's goroutines; one block is let
	// through however large it is. Default 8 MiB.
	ReadAhead int
	// ReadSize is how much is asked of the ReaderAt at a time while a Scanner reads on. Default 1 MiB.
	ReadSize int
	// MaxBlock is the largest block, in bytes, that memory is made for. A block has HBase's block size and the cell that does not
	// fit it, so this bounds the size of a cell. Default 256 MiB.
	MaxBlock int

	// unverified leaves the checksums of blocks out. For tests: what is behind them must stand anything.
	unverified bool
}

const (
	defaultReadAhead = 8 << 20
	defaultReadSize  = 1 << 20
	defaultMaxBlock  = 256 << 20
)

// CorruptError says that a file is not what HBase writes: it was damaged, cut off, or is no HFile.
type CorruptError struct {
	Name   string
	Offset int64 // in the file, of the block or the trailer
	Err    error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("read HFile %s: at offset %d: %v: the file is damaged or is no HFile; take it from another copy (HDFS: hdfs fsck -files -blocks; a snapshot's copy: export it again), or read the table by a scan",
		cmp.Or(e.Name, "(unnamed)"), e.Offset, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// UnsupportedError says that a file is of a kind this package does not read.
type UnsupportedError struct {
	Name   string
	What   string // is not read
	Remedy string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("read HFile %s: %s: %s", cmp.Or(e.Name, "(unnamed)"), e.What, e.Remedy)
}

// File is an open HFile. Its methods may be called by several goroutines.
type File struct {
	r       io.ReaderAt
	o       Options
	trailer trailer
	meta    Meta
	layout  layout
	root    []indexEntry

	checksum byte // type of all blocks

	tail      []byte // the end of the file, while it is opened
	tailStart int64

	mu    sync.Mutex
	index map[int64][]indexEntry // blocks of it that were read, by their offset

	blocks     atomic.Int64
	dataBlocks atomic.Int64
	bytes      atomic.Int64
}

// layout is what the blocks of a file have in common.
type layout struct {
	compression  Compression
	tags         bool // cells have tags
	compressTags bool // by a dictionary, in the encodings that do
	sequences    bool // cells have a sequence id
}

// Open reads the trailer, the file info and the root of the data index of the file of size bytes in r. r is used until the last
// Scanner is closed.
func Open(r io.ReaderAt, size int64, o Options) (*File, error) {
	o.ReadAhead = cmp.Or(max(o.ReadAhead, 0), defaultReadAhead)
	o.ReadSize = cmp.Or(max(o.ReadSize, 0), defaultReadSize)
	o.MaxBlock = cmp.Or(max(o.MaxBlock, 0), defaultMaxBlock)
	f := &File{r: r, o: o, checksum: checksumUnknown}
	if err := f.readTail(size); err != nil {
		return nil, err
	}
	defer func() { f.tail = nil }()
	if err := f.readTrailer(size); err != nil {
		return nil, err
	}
	if err := f.readLoadOnOpen(); err != nil {
		return nil, err
	}
	return f, nil
}

// readLoadOnOpen reads the file info, then the root of the index. Both are needed before the first cell.
func (f *File) readLoadOnOpen() error {
	t := &f.trailer
	d := &decompressor{limit: f.o.MaxBlock}
	b, err := f.readBlock(t.fileInfo, t.offset, &block{}, d)
	if err != nil {
		return err
	}
	if b.magic != magicFileInfo {
		return f.corrupt(t.fileInfo, fmt.Errorf("a block %q is where the file info is to be", b.magic))
	}
	if err := f.readInfo(b.data); err != nil {
		return f.wrap(t.fileInfo, err)
	}
	if b, err = f.readBlock(t.loadOnOpen, t.offset, &block{}, d); err != nil {
		return err
	}
	if b.magic != magicRootIndex {
		return f.corrupt(t.loadOnOpen, fmt.Errorf("a block %q is where the root of the data index is to be", b.magic))
	}
	if f.root, err = f.parseRoot(b.data); err != nil {
		return f.corrupt(t.loadOnOpen, err)
	}
	if len(f.root) > 0 {
		f.meta.FirstRow = f.root[0].row
	}
	return nil
}

// Stats counts what has been read of a file.
type Stats struct {
	DataBlocks int64 // data blocks that were decoded
	Blocks     int64 // all blocks, those of index and file info too
	Bytes      int64 // asked of the ReaderAt
}

// Stats returns what all Scanners and Open have read so far.
func (f *File) Stats() Stats {
	return Stats{DataBlocks: f.dataBlocks.Load(), Blocks: f.blocks.Load(), Bytes: f.bytes.Load()}
}

func (f *File) corrupt(offset int64, err error) error {
	return &CorruptError{Name: f.o.Name, Offset: offset, Err: err}
}

func (f *File) unsupported(what, remedy string) error {
	return &UnsupportedError{Name: f.o.Name, What: what, Remedy: remedy}
}

// wrap makes err, found in what lies at offset, a CorruptError unless it says already what it is.
func (f *File) wrap(offset int64, err error) error {
	var corrupt *CorruptError
	var unsupported *UnsupportedError
	if errors.As(err, &corrupt) || errors.As(err, &unsupported) {
		return err
	}
	return f.corrupt(offset, err)
}

// tailSize holds the trailer and, of most files, the load-on-open section: one read where a file system is far away.
const tailSize = 64 << 10

func (f *File) readTail(size int64) error {
	if size < trailerSizeV2 {
		return f.corrupt(0, fmt.Errorf("%d bytes are no HFile", size))
	}
	b := make([]byte, min(size, tailSize))
	if err := f.readAt(b, size-int64(len(b))); err != nil {
		return err
	}
	f.tail, f.tailStart = b, size-int64(len(b))
	return nil
}

// readAt fills b from offset.
func (f *File) readAt(b []byte, offset int64) error {
	if skip := offset - f.tailStart; f.tail != nil && skip >= 0 && skip+int64(len(b)) <= int64(len(f.tail)) {
		copy(b, f.tail[skip:])
		return nil
	}
	n, err := f.r.ReadAt(b, offset)
	f.bytes.Add(int64(n))
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		return f.corrupt(offset, fmt.Errorf("%d of %d bytes: %w", n, len(b), io.ErrUnexpectedEOF))
	}
	return fmt.Errorf("read HFile %s: %d bytes at offset %d: %w", cmp.Or(f.o.Name, "(unnamed)"), len(b), offset, err)
}
