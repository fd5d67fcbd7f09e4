package hfile

import (
	"context"
	"errors"
	"fmt"
	"io"

	hscan "github.com/waltap/waltap/internal/hbase/scan"
	"github.com/waltap/waltap/source/scan"
)

// Dump writes all cells of a table as text, a line each: row, family, qualifier, timestamp, type, tags in hexadecimal, value.
func Dump(ctx context.Context, s *Source, table string, to io.Writer) error {
	regions, err := s.Regions(ctx, table)
	if err != nil {
		return err
	}
	for _, r := range regions {
		st, err := s.Open(ctx, hscan.Request{Table: table, Region: r, Start: r.Start, Stop: r.End})
		if err != nil {
			return err
		}
		err = dumpStream(ctx, st, to)
		if err := errors.Join(err, st.Close(ctx)); err != nil {
			return fmt.Errorf("region %s: %w", r.Encoded, err)
		}
	}
	return nil
}

func dumpStream(ctx context.Context, st scan.Stream, to io.Writer) error {
	for {
		b, err := st.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range b.Cells {
			c := &b.Cells[i]
			if _, err := fmt.Fprintf(to, "%s\t%s\t%s\t%d\t%s\t%x\t%s\n", c.Row, c.Family, c.Qualifier, c.Timestamp, c.Type, c.Tags, c.Value); err != nil {
				return err
			}
		}
	}
}
