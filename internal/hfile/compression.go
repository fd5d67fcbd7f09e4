package hfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compression is how the blocks of a file are compressed: HBase's Compression.Algorithm, by its number in a trailer.
type Compression byte

// The compressions that are read.
const (
	GZ     Compression = 1
	None   Compression = 2
	Snappy Compression = 3
	LZ4    Compression = 4
	ZSTD   Compression = 6
)

// compressions are HBase's names.
var compressions = [...]string{"LZO", "GZ", "NONE", "SNAPPY", "LZ4", "BZIP2", "ZSTD", "LZMA", "BROTLI"}

// String returns HBase's name of c.
func (c Compression) String() string {
	if int(c) < len(compressions) {
		return compressions[c]
	}
	return fmt.Sprintf("Compression(%d)", byte(c))
}

func (f *File) parseCompression(v uint64) (Compression, error) {
	switch {
	case v >= uint64(len(compressions)):
		return 0, f.unsupported(fmt.Sprintf("compression number %d is not known", v),
			"GZ, SNAPPY, LZ4, ZSTD and NONE are read; read this table by a scan (snapshot.reader: scan)")
	case v == 0 || v == 5 || v > 6:
		return 0, f.unsupported("compression "+compressions[v]+" is not read",
			"alter the family to GZ, SNAPPY, LZ4, ZSTD or NONE and run a major compaction, or read this table by a scan (snapshot.reader: scan)")
	}
	return Compression(v), nil
}

// decompressor keeps what decompressing needs and can be used again. It is for one goroutine at a time.
type decompressor struct {
	limit int // of an uncompressed block
	gz    *gzip.Reader
	src   bytes.Reader
	zd    *zstd.Decoder
}

var (
	errDictionary = errors.New("a dictionary is needed")
	errLength     = errors.New("its parts are not as long as they say")
)

// decompress fills dst, a whole block, with what src holds.
func (d *decompressor) decompress(c Compression, dst, src []byte) error {
	switch c {
	case GZ:
		return d.gunzip(dst, src)
	case ZSTD:
		// Hadoop's native codec writes a stream as it is; read as a group's length, this would be 682 MB.
		if len(src) >= 4 && binary.LittleEndian.Uint32(src) == 0xFD2FB528 {
			n, err := d.unzstd(dst, src)
			if err == nil && n != len(dst) {
				err = errLength
			}
			return err
		}
		return groups(dst, src, d.unzstd)
	case Snappy:
		return groups(dst, src, unsnappy)
	default:
		return groups(dst, src, unlz4)
	}
}

// groups reads Hadoop's framing of block codecs (BlockCompressorStream):
//
//	(int32 length of a group, uncompressed | (int32 length of a part, compressed | part)+)*
//
// Most writers end with a group of length 0.
func groups(dst, src []byte, part func(dst, src []byte) (int, error)) error {
	for len(dst) > 0 || len(src) > 0 {
		if len(src) < 4 {
			return io.ErrUnexpectedEOF
		}
		n := binary.BigEndian.Uint32(src)
		if src = src[4:]; uint64(n) > uint64(len(dst)) {
			return errLength
		}
		group := dst[:n:n]
		dst = dst[n:]
		for len(group) > 0 {
			if len(src) < 4 {
				return io.ErrUnexpectedEOF
			}
			n := binary.BigEndian.Uint32(src)
			if src = src[4:]; uint64(n) > uint64(len(src)) {
				return io.ErrUnexpectedEOF
			}
			got, err := part(group, src[:n:n])
			if err != nil {
				return err
			}
			if got == 0 {
				return errLength
			}
			group, src = group[got:], src[n:]
		}
	}
	return nil
}

func unsnappy(dst, src []byte) (int, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return 0, err
	}
	if n > len(dst) {
		return 0, errLength
	}
	_, err = s2.Decode(dst[:n:n], src)
	return n, err
}

func unlz4(dst, src []byte) (int, error) { return lz4.UncompressBlock(src, dst) }

func (d *decompressor) unzstd(dst, src []byte) (int, error) {
	if d.zd == nil {
		var err error
		d.zd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
			zstd.WithDecoderMaxMemory(uint64(max(d.limit, 8<<20)))) // with the window
		if err != nil {
			return 0, err
		}
	}
	out, err := d.zd.DecodeAll(src, dst[:0:len(dst)])
	if errors.Is(err, zstd.ErrUnknownDictionary) {
		err = errDictionary
	}
	return len(out), err
}

func (d *decompressor) gunzip(dst, src []byte) error {
	d.src.Reset(src)
	var err error
	if d.gz == nil {
		d.gz, err = gzip.NewReader(&d.src)
	} else {
		err = d.gz.Reset(&d.src)
	}
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(d.gz, dst); err != nil {
		return err
	}
	var more [1]byte // its checksum is compared at the end only
	if n, err := d.gz.Read(more[:]); n > 0 || err != io.EOF {
		if err == nil || err == io.EOF {
			err = errLength
		}
		return err
	}
	return nil
}
