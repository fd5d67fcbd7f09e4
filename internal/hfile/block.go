package hfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// A block is a header, what it holds, compressed as a whole, and checksums:
//
//	+-----------+-------------------------------+---------------------------------+-------------------------------------+
//	| 8 magic   | int32 size after the header   | int32 size of what it holds     | int64 offset of the last block      |
//	|           | with the checksums            | uncompressed                    | with the same magic, -1: none       |
//	+-----------+-------------------------------+---------------------------------+-------------------------------------+
//	| byte      | int32 bytes per checksum      | int32 size of header and what   | ... | int32 checksum for each chunk |
//	| checksum  |                               | it holds, without checksums     |     | of header and what it holds   |
//	+-----------+-------------------------------+---------------------------------+-------------------------------------+
const headerSize = 33

const (
	magicData         = "DATABLK*"
	magicEncodedData  = "DATABLKE"
	magicLeafIndex    = "IDXLEAF2"
	magicBloom        = "BLMFBLK2"
	magicMeta         = "METABLKc"
	magicIntermediate = "IDXINTE2"
	magicRootIndex    = "IDXROOT2"
	magicFileInfo     = "FILEINF2"
)

// betweenData are the blocks that a Scanner meets and passes over.
var betweenData = []string{magicLeafIndex, magicBloom, magicMeta, magicIntermediate}

// The checksum types.
const (
	checksumNull   = 0 // hbase.hstore.checksum.algorithm=NULL: HDFS's own are all there is
	checksumCRC32  = 1
	checksumCRC32C = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	magic    string // one of the constants, or a copy
	onDisk   int    // whole block
	raw      int    // what it holds, uncompressed
	previous int64
	checksum byte
	chunk    int
	body     int // header and what it holds, as stored
}

// isData reports whether the block holds cells.
func (h *header) isData() bool { return h.magic == magicData || h.magic == magicEncodedData }

// parseHeader reads the header in b, of a block that has room bytes at most.
func (f *File) parseHeader(b []byte, room int64) (header, error) {
	onDisk := int64(int32(binary.BigEndian.Uint32(b[8:])))
	h := header{
		magic:    blockMagic(b[:8]),
		raw:      int(int32(binary.BigEndian.Uint32(b[12:]))),
		previous: int64(binary.BigEndian.Uint64(b[16:])),
		checksum: b[24],
		chunk:    int(int32(binary.BigEndian.Uint32(b[25:]))),
		body:     int(int32(binary.BigEndian.Uint32(b[29:]))),
	}
	if h.magic == "" {
		return h, fmt.Errorf("%q begins no block", b[:8])
	}
	if onDisk < 0 || headerSize+onDisk > room {
		return h, fmt.Errorf("block of %d bytes where %d are left", headerSize+onDisk, room)
	}
	if onDisk > int64(f.o.MaxBlock)+int64(f.o.MaxBlock)/4 { // which no checksum has confirmed yet
		return h, fmt.Errorf("block of %d bytes: of up to %d are read", headerSize+onDisk, f.o.MaxBlock)
	}
	h.onDisk = headerSize + int(onDisk)
	sums := h.onDisk - h.body
	switch {
	case h.body < headerSize || sums < 0:
		return h, fmt.Errorf("%d of the block's %d bytes are said to be no checksums", h.body, h.onDisk)
	case h.raw < 0:
		return h, fmt.Errorf("uncompressed size %d", h.raw)
	case h.checksum > checksumCRC32C:
		return h, fmt.Errorf("checksum type %d", h.checksum)
	case h.checksum != checksumNull && (h.chunk <= 0 || sums != 4*((h.body+h.chunk-1)/h.chunk)):
		return h, fmt.Errorf("%d bytes of checksums, one for each %d of %d bytes", sums, h.chunk, h.body)
	}
	return h, nil
}

func blockMagic(b []byte) string {
	switch string(b) {
	case magicData:
		return magicData
	case magicEncodedData:
		return magicEncodedData
	case magicLeafIndex:
		return magicLeafIndex
	case magicBloom:
		return magicBloom
	case magicMeta:
		return magicMeta
	case magicIntermediate:
		return magicIntermediate
	case magicRootIndex:
		return magicRootIndex
	case magicFileInfo:
		return magicFileInfo
	}
	return ""
}

// block is a block of the file and the memory for it.
type block struct {
	header
	offset int64
	bytes  []byte // as in the file
	room   []byte // for what is uncompressed
	data   []byte // what it holds; in bytes or room

	counted int        // of ahead: its memory
	done    chan error // of ahead: it is unpacked, or was not; has room for the one
}

// verify compares the block's checksums with its bytes.
func (f *File) verify(b *block) error {
	if f.o.unverified || b.checksum == checksumNull {
		return nil
	}
	table := castagnoli
	if b.checksum == checksumCRC32 {
		table = crc32.IEEETable
	}
	body, sums := b.bytes[:b.body], b.bytes[b.body:]
	for part := range slices.Chunk(body, b.chunk) {
		if want, got := binary.BigEndian.Uint32(sums), crc32.Checksum(part, table); want != got {
			return fmt.Errorf("block %s: checksum is %08x, its bytes give %08x", b.magic, want, got)
		}
		sums = sums[4:]
	}
	return nil
}

// unpack verifies b and makes data of what is stored.
func (f *File) unpack(b *block, d *decompressor) error {
	if err := f.verify(b); err != nil {
		return f.corrupt(b.offset, err)
	}
	f.blocks.Add(1)
	if b.raw > f.o.MaxBlock {
		return f.unsupported(fmt.Sprintf("a block of %d bytes at offset %d", b.raw, b.offset),
			fmt.Sprintf("blocks of up to %d bytes are read: a cell is larger than any that this is meant for; read this table by a scan (snapshot.reader: scan)", f.o.MaxBlock))
	}
	packed := b.bytes[headerSize:b.body]
	if f.layout.compression == None {
		if len(packed) != b.raw {
			return f.corrupt(b.offset, fmt.Errorf("block %s: %d bytes, its header says %d", b.magic, len(packed), b.raw))
		}
		b.data = packed
		return nil
	}
	if cap(b.room) < b.raw {
		b.room = make([]byte, b.raw, b.raw+b.raw/8)
	}
	b.data = b.room[:b.raw]
	if err := d.decompress(f.layout.compression, b.data, packed); err != nil {
		if errors.Is(err, errDictionary) {
			return f.unsupported("its blocks are compressed with a ZSTD dictionary (hbase.io.compress.zstd.dictionary)",
				"such blocks are not read; take the dictionary away and run a major compaction, or read this table by a scan (snapshot.reader: scan)")
		}
		return f.corrupt(b.offset, fmt.Errorf("block %s: decompress %s: %w", b.magic, f.layout.compression, err))
	}
	return nil
}

// sameChecksum sees that all blocks have the same type of checksum, as HBase writes them: a type that was damaged to NULL would
// pass unseen.
func (f *File) sameChecksum(h *header) error {
	if h.checksum != f.checksum {
		return fmt.Errorf("block %s: checksum type %d, the file's others have %d", h.magic, h.checksum, f.checksum)
	}
	return nil
}

// readBlock reads the one block at offset, which ends before end, into b. The first block that is read of a file says which checksums
// all have.
func (f *File) readBlock(offset, end int64, b *block, d *decompressor) (*block, error) {
	if offset < 0 || end-offset < headerSize {
		return nil, f.corrupt(offset, errors.New("no room for a block"))
	}
	b.bytes = resize(b.bytes, int(min(end-offset, firstAsk))) // most blocks that are read alone are smaller
	if err := f.readAt(b.bytes, offset); err != nil {
		return nil, err
	}
	h, err := f.parseHeader(b.bytes, end-offset)
	if err != nil {
		return nil, f.corrupt(offset, err)
	}
	if f.checksum == checksumUnknown {
		f.checksum = h.checksum
	} else if err := f.sameChecksum(&h); err != nil {
		return nil, f.corrupt(offset, err)
	}
	b.header, b.offset = h, offset
	if have := len(b.bytes); have < h.onDisk {
		b.bytes = append(make([]byte, 0, h.onDisk), b.bytes...)[:h.onDisk]
		if err := f.readAt(b.bytes[have:], offset+int64(have)); err != nil {
			return nil, err
		}
	}
	b.bytes = b.bytes[:h.onDisk]
	return b, f.unpack(b, d)
}

// checksumUnknown is the type of the checksums before a block was read.
const checksumUnknown = 0xff

// resize returns n bytes, b's memory where it is large enough.
func resize(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n, n+n/8)
	}
	return b[:n]
}
