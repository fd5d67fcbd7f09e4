package hfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// The trailer fills the last 4096 bytes of a version 3 file, the last 212 of a version 2 one:
//
//	+----------+--------------------------------------+-------+-------------------------------+
//	| TRABLK"$ | varint length and FileTrailerProto   | zeros | int32 minor << 24 | major     |
//	+----------+--------------------------------------+-------+-------------------------------+
//
//	FileTrailerProto: file_info_offset = 1; load_on_open_data_offset = 2; total_uncompressed_bytes = 4; data_index_count = 5;
//	entry_count = 7; num_data_index_levels = 8; first_data_block_offset = 9; last_data_block_offset = 10;
//	comparator_class_name = 11; compression_codec = 12; encryption_key = 13. (HFile.proto)
const (
	trailerMagic  = "TRABLK\"$"
	trailerSizeV3 = 4096
	trailerSizeV2 = 212
	maxMinor      = 3 // HFileReaderImpl.MAX_MINOR_VERSION
	minMinorV2    = 2 // PBUF_TRAILER_MINOR_VERSION: before it, 0.94 and older, the trailer is no protobuf

	maxIndexLevels = 16 // HBase's files have up to 4
)

type trailer struct {
	major, minor int
	offset       int64 // of the trailer itself: where the blocks end
	fileInfo     int64
	loadOnOpen   int64
	first, last  int64 // data blocks; -1 in a file without cells
	uncompressed uint64
	entries      uint64
	indexCount   uint64 // in the root of the data index
	indexLevels  uint64
	codec        uint64
	comparator   string
	encrypted    bool
}

func (f *File) readTrailer(size int64) error {
	n := min(size, trailerSizeV3)
	b := make([]byte, n)
	if err := f.readAt(b, size-n); err != nil {
		return err
	}
	version := binary.BigEndian.Uint32(b[n-4:])
	t := &f.trailer
	t.major, t.minor = int(version&0xffffff), int(version>>24)
	length, err := f.trailerSize()
	if err != nil {
		return err
	}
	if int64(length) > n {
		return f.corrupt(0, fmt.Errorf("%d bytes do not hold the trailer of version %d", size, t.major))
	}
	t.offset = size - int64(length)
	if err := t.parse(b[n-int64(length) : n-4]); err != nil {
		return f.corrupt(t.offset, fmt.Errorf("trailer: %w", err))
	}
	if t.encrypted {
		return f.unsupported("its cells are encrypted (ENCRYPTION of the family)", "encrypted files are not read; read this table by a scan (snapshot.reader: scan)")
	}
	c, err := f.parseCompression(t.codec)
	if err != nil {
		return err
	}
	f.layout.compression = c
	if err := t.check(); err != nil {
		return f.corrupt(t.offset, fmt.Errorf("trailer: %w", err))
	}
	return nil
}

// trailerSize says how long the trailer of the version is.
func (f *File) trailerSize() (int, error) {
	t := &f.trailer
	switch {
	case t.major == 3 && t.minor <= maxMinor:
		return trailerSizeV3, nil
	case t.major == 2 && t.minor >= minMinorV2 && t.minor <= maxMinor:
		return trailerSizeV2, nil
	case t.major == 2 && t.minor < minMinorV2 || t.major == 1 && t.minor == 0:
		return 0, f.unsupported(fmt.Sprintf("format version %d.%d, of HBase 0.94 or older", t.major, t.minor),
			"versions 2.2 and later are read; run a major compaction of the table with HBase 0.96 or later")
	case (t.major == 3 || t.major == 2) && t.minor < 16 || t.major > 3 && t.major < 16 && t.minor < 16:
		return 0, f.unsupported(fmt.Sprintf("format version %d.%d", t.major, t.minor),
			"versions up to 3.3 are read; read this table by a scan (snapshot.reader: scan)")
	}
	return 0, f.corrupt(0, fmt.Errorf("format version %d.%d: no such version", t.major, t.minor))
}

// needed are the fields without which a file cannot be read.
const needed = 1<<1 | 1<<2 | 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<12

// parse reads the trailer b, without the version.
func (t *trailer) parse(b []byte) error {
	b, ok := bytes.CutPrefix(b, []byte(trailerMagic))
	if !ok {
		return errors.New("does not begin with " + trailerMagic)
	}
	msg, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return errors.New("its length does not fit")
	}
	if len(bytes.Trim(b[n:], "\x00")) > 0 {
		return errors.New("bytes behind the message")
	}
	var numbers [14]uint64
	seen := 0
	err := fields(msg, func(num protowire.Number, v uint64, s []byte) error {
		switch {
		case num >= 14:
		case num == 11 && s != nil:
			t.comparator = string(s)
		case num == 13 && s != nil:
			t.encrypted = true
		case num == 11 || num == 13 || s != nil:
			return fmt.Errorf("field %d is of another type", num)
		default:
			numbers[num] = v
			seen |= 1 << num
		}
		return nil
	})
	if err != nil {
		return err
	}
	if seen&needed != needed {
		return errors.New("a field is missing")
	}
	t.uncompressed, t.indexCount, t.entries, t.indexLevels, t.codec = numbers[4], numbers[5], numbers[7], numbers[8], numbers[12]
	for num, to := range map[int]*int64{1: &t.fileInfo, 2: &t.loadOnOpen, 9: &t.first, 10: &t.last} {
		if *to = int64(numbers[num]); *to < -1 || *to > t.offset {
			return fmt.Errorf("offset %d (field %d): the blocks end at %d", *to, num, t.offset)
		}
	}
	return nil
}

// check sees whether the parts of the file can lie, and be as many, as t says.
func (t *trailer) check() error {
	switch {
	case t.loadOnOpen < 0 || t.loadOnOpen > t.fileInfo:
		return fmt.Errorf("file info at %d, load-on-open section at %d", t.fileInfo, t.loadOnOpen)
	case t.entries > 0 && (t.first < 0 || t.first > t.last || t.last >= t.loadOnOpen):
		return fmt.Errorf("data blocks from %d to %d, load-on-open section at %d", t.first, t.last, t.loadOnOpen)
	case t.entries > math.MaxInt64:
		return fmt.Errorf("%d entries", t.entries)
	case t.indexCount > t.entries || (t.indexCount == 0) != (t.entries == 0):
		return fmt.Errorf("%d index entries for %d cells", t.indexCount, t.entries)
	case t.indexLevels > maxIndexLevels:
		return fmt.Errorf("%d index levels", t.indexLevels)
	}
	return nil
}

// userOrder reports whether the cells are in the order of user tables. That of hbase:meta compares the parts of its rows. The names are
// those of all versions; none is written by some.
func (t *trailer) userOrder() bool {
	name := t.comparator
	if i := strings.LastIndexAny(name, ".$"); i >= 0 {
		name = name[i+1:]
	}
	switch name {
	case "", "CellComparatorImpl", "InnerStoreCellComparator", "KVComparator", "KeyComparator":
		return true
	}
	return false
}

// fields calls f for each field of the message b that is a varint, v, or of bytes, then not nil.
func fields(b []byte, f func(num protowire.Number, v uint64, b []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var err error
		switch typ {
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n >= 0 {
				err = f(num, v, nil)
			}
		case protowire.BytesType:
			var s []byte
			if s, n = protowire.ConsumeBytes(b); n >= 0 {
				err = f(num, 0, s[:len(s):len(s)])
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
