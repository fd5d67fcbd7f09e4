package hfile

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// blocksOf returns what the file's data blocks hold, as Scanners get it.
func blocksOf(t testing.TB, f *File) []block {
	t.Helper()
	if f.meta.Entries == 0 {
		return nil
	}
	w, err := f.walk(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := decompressor{limit: f.o.MaxBlock}
	var all []block
	for {
		var b block
		ok, err := w.next(&b)
		if err == nil && ok {
			err = f.unpack(&b, &d)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, b)
	}
}

// FuzzFile: no file, damaged or made up, with checksums verified or not, does anything but end or err.
func FuzzFile(f *testing.F) {
	for _, s := range sums(f) {
		if b := read(f, s.Name); len(b) < 20000 {
			f.Add(b, true)
			f.Add(b, false)
		}
	}
	f.Add(read(f, "encrypted.hfile"), true)
	f.Fuzz(func(t *testing.T, b []byte, unverified bool) {
		h, err := Open(bytes.NewReader(b), int64(len(b)), Options{MaxBlock: 1 << 20, unverified: unverified})
		if err != nil {
			known(t, err)
			return
		}
		rows, err := h.SplitRows(3)
		if err != nil {
			known(t, err)
		}
		n := 0
		if err := scan(h, nil, nil, func(c *Cell) { n += len(appendCell(nil, c)) }); err != nil {
			known(t, err)
		}
		for _, row := range rows {
			if _, err := h.Bytes(row, nil); err != nil {
				known(t, err)
			}
			if err := scan(h, row, nil, func(*Cell) {}); err != nil {
				known(t, err)
			}
		}
	})
}

func FuzzTrailer(f *testing.F) {
	for _, s := range sums(f) {
		b := read(f, s.Name)
		f.Add(b[len(b)-trailerSizeV2:])
		f.Add(b[max(len(b)-trailerSizeV3, 0):])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := &File{r: bytes.NewReader(b)}
		err := h.readTail(int64(len(b)))
		if err == nil {
			err = h.readTrailer(int64(len(b)))
		}
		if err != nil {
			known(t, err)
		}
		tr := trailer{offset: 1 << 40}
		if err := tr.parse(b); err == nil {
			_ = tr.check()
			_ = tr.userOrder()
		}
	})
}

// FuzzBlock: header, checksums and decompression.
func FuzzBlock(f *testing.F) {
	for _, s := range sums(f) {
		b := read(f, s.Name)
		f.Add(b[:min(len(b), 1500)], byte(open(f, b, Options{}).layout.compression), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, compression byte, unverified bool) {
		h := &File{r: bytes.NewReader(b), o: Options{MaxBlock: 1 << 20, unverified: unverified}, checksum: checksumUnknown}
		c, err := h.parseCompression(uint64(compression))
		if err != nil {
			return
		}
		h.layout.compression = c
		d := decompressor{limit: h.o.MaxBlock}
		got, err := h.readBlock(0, int64(len(b)), &block{}, &d)
		if err != nil {
			known(t, err)
			return
		}
		if len(got.data) != got.raw || got.raw > h.o.MaxBlock {
			t.Fatalf("%d bytes of a block of %d", len(got.data), got.raw)
		}
	})
}

func FuzzIndex(f *testing.F) {
	h := open(f, read(f, "deep-index.hfile"), Options{})
	d := &decompressor{limit: h.o.MaxBlock}
	root, err := h.readBlock(h.trailer.loadOnOpen, h.trailer.offset, &block{}, d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(root.data, uint64(len(h.root)))
	below, err := h.readBlock(h.root[0].offset, h.trailer.offset, &block{}, d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(below.data, uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, count uint64) {
		h := &File{trailer: trailer{loadOnOpen: 1 << 40, indexCount: count}, meta: Meta{UserOrder: true}}
		for _, parse := range []func([]byte) ([]indexEntry, error){h.parseRoot, h.parseIndex} {
			entries, err := parse(b)
			if err != nil {
				continue
			}
			for i := 1; i < len(entries); i++ {
				if entries[i].offset <= entries[i-1].offset || bytes.Compare(entries[i].row, entries[i-1].row) < 0 {
					t.Fatalf("entry %d is not behind the one before: %+v", i, entries)
				}
			}
		}
	})
}

// FuzzFileInfo: the file info, and what is made of it.
func FuzzFileInfo(f *testing.F) {
	for _, s := range sums(f) {
		h := open(f, read(f, s.Name), Options{})
		b, err := h.readBlock(h.trailer.fileInfo, h.trailer.offset, &block{}, &decompressor{limit: h.o.MaxBlock})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b.data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := &File{trailer: trailer{entries: 1}}
		if err := h.readInfo(b); err == nil && h.meta.LastKey == nil {
			t.Fatal("no last key")
		}
	})
}

// fuzzEncoding fuzzes the cells of blocks of one encoding. What comes out must lie within what went in, with the room that a key, which is
// put together, takes.
func fuzzEncoding(f *testing.F, encoding Encoding) {
	for _, s := range sums(f) {
		h := open(f, read(f, s.Name), Options{})
		if h.meta.Encoding != encoding {
			continue
		}
		blocks := blocksOf(f, h)
		for i := range min(len(blocks), 5) {
			b := blocks[i].data
			if blocks[i].magic == magicEncodedData {
				b = b[2:]
			}
			f.Add(b, h.layout.tags, h.layout.compressTags, h.layout.sequences)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, tags, compressTags, sequences bool) {
		d := cells{layout: layout{tags: tags, compressTags: tags && compressTags, sequences: sequences}}
		magic := magicData
		if encoding != Plain {
			magic = magicEncodedData
			b = append(binary.BigEndian.AppendUint16(nil, uint16(encoding)), b...)
		}
		var first, second []byte
		for _, all := range []*[]byte{&first, &second} {
			if err := d.start(b, magic); err != nil {
				return
			}
			var c Cell
			for {
				at := d.p
				ok, err := d.next(&c)
				if !ok || err != nil {
					break
				}
				if d.p <= at || d.p > len(d.b) {
					t.Fatalf("byte %d after byte %d of %d", d.p, at, len(d.b))
				}
				if len(c.Row)+len(c.Family)+len(c.Qualifier) > 2*len(b) || len(c.Value) > len(b) || len(c.Tags) > maxTags || c.Sequence < 0 {
					t.Fatalf("a cell of %d bytes of row and %d of value in %d bytes", len(c.Row), len(c.Value), len(b))
				}
				if err := c.Validate(); err != nil {
					t.Fatal(err)
				}
				*all = appendCell(*all, &c)
			}
		}
		if !bytes.Equal(first, second) {
			t.Fatal("read again, the block gives other cells")
		}
	})
}

func FuzzPlain(f *testing.F)      { fuzzEncoding(f, Plain) }
func FuzzPrefix(f *testing.F)     { fuzzEncoding(f, Prefix) }
func FuzzDiff(f *testing.F)       { fuzzEncoding(f, Diff) }
func FuzzFastDiff(f *testing.F)   { fuzzEncoding(f, FastDiff) }
func FuzzRowIndexV1(f *testing.F) { fuzzEncoding(f, RowIndexV1) }
