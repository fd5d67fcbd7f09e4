package hfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/waltap/waltap/internal/hbase/cell"
)

// Meta is what a file says of itself.
type Meta struct {
	Major, Minor int // format version
	Size         int64
	Compression  Compression
	Encoding     Encoding // of the data blocks, by the file info; each block says its own
	Checksum     string   // of the blocks: CRC32, CRC32C or NULL
	Comparator   string   // Java class; "" by some versions
	// UserOrder: the cells are in the order of user tables, by the bytes of the row. Those of hbase:meta are not.
	UserOrder bool

	Entries      int64 // cells
	Uncompressed int64 // bytes of all blocks
	DataBytes    int64 // of the part of the file that the data blocks are in
	IndexLevels  int
	IndexEntries int // in the root of the data index

	FirstRow []byte // nil: the file has no cells
	// LastKey is the last cell, without value; nil: the file has no cells.
	LastKey *cell.Cell

	Tags         bool // cells have tags
	CompressTags bool
	MVCC         bool  // cells have sequence ids
	MaxMVCC      int64 // the highest of them
	// MaxSequence is the sequence id up to which the file holds the edits of its store (MAX_SEQ_ID_KEY): it orders the files of a
	// store. -1: none, as in files that are made for a bulk load.
	MaxSequence int64
	// MajorCompaction: made by one, so that no delete marker is in it unless they are kept.
	MajorCompaction bool
	// BulkLoad: made for a bulk load. Its cells have the sequence id of the load, see BulkLoadSequence, unless KeepSequence.
	BulkLoad     bool
	BulkLoadTime time.Time
	KeepSequence bool // SKIP_RESET_SEQ_ID
	Created      time.Time

	// Info is the file info: all that was written under names, these included.
	Info map[string][]byte
}

// Meta returns what the file says of itself. It is not to be changed.
func (f *File) Meta() *Meta { return &f.meta }

// BulkLoadSequence returns the sequence id that HBase gave a file of a bulk load when it was loaded, which its name has: the
// name is ..._SeqId_17_. Without one the file was loaded without (hbase.mapreduce.bulkload.assign.sequenceNumbers=false) and is
// older than all others.
func BulkLoadSequence(name string) (sequence int64, ok bool) {
	const mark = "_SeqId_"
	i := strings.LastIndex(name, mark)
	if i < 0 {
		return 0, false
	}
	digits, _, ok := strings.Cut(name[i+len(mark):], "_")
	sequence, err := strconv.ParseInt(digits, 10, 64)
	return sequence, ok && err == nil && sequence >= 0
}

// Names in the file info (HFileInfo, HStoreFile, HFileWriterImpl, HFileDataBlockEncoder, HFileIndexBlockEncoder).
const (
	infoLastKey        = "hfile.LASTKEY"
	infoMaxTags        = "hfile.MAX_TAGS_LEN"
	infoTagsCompressed = "hfile.TAGS_COMPRESSED"
	infoCreated        = "hfile.CREATE_TIME_TS"
	infoVersion        = "KEY_VALUE_VERSION"
	infoMaxMVCC        = "MAX_MEMSTORE_TS_KEY"
	infoMaxSequence    = "MAX_SEQ_ID_KEY"
	infoMajor          = "MAJOR_COMPACTION_KEY"
	infoBulkLoad       = "BULKLOAD_TIMESTAMP"
	infoKeepSequence   = "SKIP_RESET_SEQ_ID"
	infoEncoding       = "DATA_BLOCK_ENCODING"
	infoIndexEncoding  = "INDEX_BLOCK_ENCODING"

	versionWithMVCC = 1 // HFileWriterImpl.KEY_VALUE_VER_WITH_MEMSTORE
)

// readInfo reads the file info: "PBUF" and a delimited FileInfoProto, map_entry = 1 {first = 1, second = 2}. What is wanted of it
// becomes Meta and layout.
func (f *File) readInfo(b []byte) error {
	b, ok := bytes.CutPrefix(b, []byte("PBUF"))
	if !ok {
		return errors.New("file info is no protobuf message")
	}
	msg, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return fmt.Errorf("file info: %w", protowire.ParseError(n))
	}
	info := make(map[string][]byte)
	err := fields(msg, func(num protowire.Number, _ uint64, entry []byte) error {
		if num != 1 || entry == nil {
			return nil
		}
		var name string
		var value []byte
		err := fields(entry, func(num protowire.Number, _ uint64, s []byte) error {
			switch {
			case num == 1 && s != nil:
				name = string(s)
			case num == 2 && s != nil:
				value = slices.Clone(s)
			}
			return nil
		})
		info[name] = value
		return err
	})
	if err != nil {
		return fmt.Errorf("file info: %w", err)
	}
	return f.setMeta(info)
}

func (f *File) setMeta(info map[string][]byte) error {
	t := &f.trailer
	r := infoReader{info: info}
	m := Meta{
		Major: t.major, Minor: t.minor, Size: t.offset + trailerSizeV3, Compression: f.layout.compression, Checksum: checksumName(f.checksum),
		Comparator: t.comparator, UserOrder: t.userOrder(),
		Entries: int64(t.entries), Uncompressed: int64(t.uncompressed), IndexLevels: int(t.indexLevels), IndexEntries: int(t.indexCount),
		CompressTags: r.flag(infoTagsCompressed), MaxMVCC: r.number(infoMaxMVCC, 0), MaxSequence: r.number(infoMaxSequence, -1),
		MajorCompaction: r.flag(infoMajor), KeepSequence: r.flag(infoKeepSequence), Info: info,
	}
	if t.major == 2 {
		m.Size = t.offset + trailerSizeV2
	}
	if t.entries > 0 {
		m.DataBytes = t.loadOnOpen - t.first
	}
	_, m.Tags = info[infoMaxTags]
	_, m.BulkLoad = info[infoBulkLoad]
	m.BulkLoadTime, m.Created = r.time(infoBulkLoad), r.time(infoCreated)
	m.MVCC = r.version() == versionWithMVCC
	f.layout.tags, f.layout.compressTags, f.layout.sequences = m.Tags, m.Tags && m.CompressTags, m.MVCC
	if r.err != nil {
		return fmt.Errorf("file info: %w", r.err)
	}
	if name, ok := info[infoEncoding]; ok {
		if m.Encoding, ok = parseEncoding(string(name)); !ok {
			return f.unsupportedEncoding(string(name))
		}
	}
	if err := m.setLastKey(); err != nil {
		return err
	}
	if index, ok := info[infoIndexEncoding]; ok && string(index) != "NONE" {
		return f.unsupported("index block encoding "+string(index)+" is not read",
			"alter the family's INDEX_BLOCK_ENCODING to NONE and run a major compaction, or read this table by a scan (snapshot.reader: scan)")
	}
	f.meta = m
	return nil
}

func (m *Meta) setLastKey() error {
	key, ok := m.Info[infoLastKey]
	if !ok || m.Entries == 0 {
		if m.Entries > 0 {
			return errors.New("file info: without the last key")
		}
		return nil
	}
	var c Cell
	if !c.setKey(key) {
		return fmt.Errorf("file info: last key %q", key)
	}
	m.LastKey = &c.Cell
	return nil
}

func checksumName(t byte) string {
	switch t {
	case checksumCRC32:
		return "CRC32"
	case checksumCRC32C:
		return "CRC32C"
	}
	return "NULL"
}

// infoReader reads values of the file info; err is the first that is not as long as its type.
type infoReader struct {
	info map[string][]byte
	err  error
}

func (r *infoReader) value(name string, n int) []byte {
	v, ok := r.info[name]
	if !ok {
		return nil
	}
	if len(v) != n {
		if r.err == nil {
			r.err = fmt.Errorf("%s of %d bytes: %d are expected", name, len(v), n)
		}
		return nil
	}
	return v
}

func (r *infoReader) number(name string, none int64) int64 {
	if v := r.value(name, 8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return none
}

func (r *infoReader) version() uint32 {
	if v := r.value(infoVersion, 4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *infoReader) flag(name string) bool {
	v := r.value(name, 1)
	return v != nil && v[0] != 0
}

// time reads ms since 1970; the zero time: none.
func (r *infoReader) time(name string) time.Time {
	if ms := r.number(name, 0); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}
