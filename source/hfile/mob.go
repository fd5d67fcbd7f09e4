package hfile

import (
	"encoding/binary"
	"fmt"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/snapshot"
	"github.com/waltap/waltap/internal/hfile"
)

// openMobs is how many MOB files a stream keeps open. Values that were flushed together are in one.
const openMobs = 8

// mobReadSize is asked for at a time: one value is wanted of each place.
const mobReadSize = 64 << 10

// mobs looks up values that HBase keeps in files of their own: the cell in the store file has a tag that says so, and for a
// value the name of the file,
//
//	+--------------------+-----------+
//	| int32 valueLength  | file name |
//	+--------------------+-----------+
//
// in which a cell with the same key has the value (HBase: MobUtils, HMobStore.resolve).
type mobs struct {
	source *Source
	of     *snapshot.Snapshot
	files  []*mobFile // the one that was used last is the last
	cell   hfile.Cell
}

type mobFile struct {
	*opened
	table, family, name string
}

// resolve returns the value and the tags of a MOB cell, nil for other cells. They are valid until the next call.
func (m *mobs) resolve(c *cell.Cell) (value, tags []byte, err error) {
	if c.Type != cell.Put || len(c.Tags) == 0 {
		return nil, nil, nil
	}
	table, is := m.of.Table, false
	for t, err := range cell.Tags(c.Tags) {
		if err != nil {
			return nil, nil, fmt.Errorf("row %q: %w", c.Row, err)
		}
		switch t.Type {
		case cell.TagMobReference:
			is = true
		case cell.TagMobTableName:
			table = string(t.Value)
		}
	}
	if !is {
		return nil, nil, nil
	}
	value, tags, err = m.look(c, table)
	if err != nil {
		return nil, nil, fmt.Errorf("row %q: MOB value of %s:%s: %w", c.Row, c.Family, c.Qualifier, err)
	}
	return value, tags, nil
}

// look reads the cell with the same key.
func (m *mobs) look(c *cell.Cell, table string) (value, tags []byte, err error) {
	if len(c.Value) < 5 {
		return nil, nil, fmt.Errorf("a reference of %d bytes names no file", len(c.Value))
	}
	size, name := binary.BigEndian.Uint32(c.Value), string(c.Value[4:])
	f, err := m.file(table, string(c.Family), name)
	if err != nil {
		return nil, nil, err
	}
	sc, err := f.Scan(c.Row, append(c.Row[:len(c.Row):len(c.Row)], 0))
	if err != nil {
		return nil, nil, err
	}
	defer sc.Close()
	want := hfile.Cell{Cell: *c}
	for {
		more, err := sc.Next(&m.cell)
		if err != nil {
			return nil, nil, err
		}
		if !more {
			return nil, nil, fmt.Errorf("MOB file %s has no such cell: it is missing at the source, too", name)
		}
		if hfile.CompareKeys(&m.cell, &want) != 0 {
			continue
		}
		if uint32(len(m.cell.Value)) != size {
			return nil, nil, fmt.Errorf("MOB file %s has a value of %d bytes, the table says %d", name, len(m.cell.Value), size)
		}
		// The scanner's bytes end with it.
		return append([]byte{}, m.cell.Value...), append([]byte{}, m.cell.Tags...), nil
	}
}

// file opens a MOB file, or finds it open.
func (m *mobs) file(table, family, name string) (*mobFile, error) {
	for i, f := range m.files {
		if f.name == name && f.family == family && f.table == table {
			m.files = append(append(m.files[:i:i], m.files[i+1:]...), f)
			return f, nil
		}
	}
	sf, err := m.of.MobFile(table, family, name)
	if err != nil {
		return nil, err
	}
	o, err := m.source.open(&sf, hfile.Options{ReadSize: mobReadSize})
	if err != nil {
		return nil, err
	}
	if len(m.files) == openMobs {
		m.files[0].close()
		m.files = append([]*mobFile(nil), m.files[1:]...)
	}
	f := &mobFile{opened: o, table: table, family: family, name: name}
	m.files = append(m.files, f)
	return f, nil
}

func (m *mobs) close() {
	for _, f := range m.files {
		f.close()
	}
	m.files = nil
}
