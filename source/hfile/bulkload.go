package hfile

import (
	"context"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/snapshot"
	"github.com/waltap/waltap/source/replication"
)

// BulkLoad reads the files of a bulk load, in the region or, when they were compacted, in the archive: HBase keeps them there until the
// marker that announced them is acknowledged. It is a replication.BulkReader.
func (s *Source) BulkLoad(ctx context.Context, l replication.BulkLoad, each func(*cell.Cell) error) error {
	var files []*opened
	defer func() { closeAll(files) }()
	for _, f := range l.Files {
		sf, err := snapshot.FileAt(s.cfg.Root, l.Table, l.Region, f.Family, f.Name)
		if err != nil {
			return err
		}
		o, err := s.open(&sf, s.reading(len(l.Files)))
		if err != nil {
			return err
		}
		files = append(files, o)
	}
	inputs, err := inputs(files, nil, nil)
	if err != nil {
		return err
	}
	m, err := newMerge(inputs)
	if err != nil {
		return err
	}
	defer m.close()
	for c := m.peek(); c != nil; c = m.peek() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(&c.Cell); err != nil {
			return err
		}
		if err := m.pop(); err != nil {
			return err
		}
	}
	return nil
}
