package hbase

import (
	"context"
	"slices"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/mutate"
	"github.com/waltap/waltap/schema"
)

// fill writes changes without touching what is there (Config.NoOverwrite). A column that has a value at the target, whoever
// wrote it and whatever its timestamp, keeps it, and gets nothing. One that has none gets all that the first change with puts to it
// has of it. No delete marker is written, for it would hide what is there; a put that a marker of the same change hides is left out.
//
// A repetition finds the columns that it has written before, and leaves them alone.
func (a *Applier) fill(ctx context.Context, changes []mapped) error {
	kept := 0
	for len(changes) > 0 {
		n := round(changes)
		batches, hidden := fillings(changes[:n])
		kept += hidden
		for _, b := range batches {
			left, err := a.writer.PutAbsent(ctx, b)
			if err != nil {
				return err
			}
			kept += left
		}
		changes = changes[n:]
	}
	if kept > 0 && a.cfg.Kept != nil {
		a.cfg.Kept(kept)
	}
	return nil
}

// round counts the changes at the head of the list that can be written side by side: no two of one row, all of one list of origins.
func round(changes []mapped) int {
	type key struct{ table, row string }
	rows, size := make(map[key]bool), 0
	for n, c := range changes {
		k := key{c.to.name, string(c.Row)}
		size += c.size
		if n > 0 && (rows[k] || size > maxCallBytes || !slices.Equal(passed(c.Change), passed(changes[0].Change))) {
			return n
		}
		rows[k] = true
	}
	return len(changes)
}

// fillings makes an item of each column that changes have puts of. It tells how many cells are left out: markers, and puts
// that they hide.
func fillings(changes []mapped) (batches []mutate.Columns, left int) {
	ids := map[string][]byte{mutate.ClusterIDs: clusterIDsAttribute(passed(changes[0].Change))}
	for _, c := range changes {
		type column struct{ family, qualifier string }
		at := make(map[column]int)
		n := slices.IndexFunc(batches, func(b mutate.Columns) bool { return b.Table == c.to.name })
		if n < 0 {
			n = len(batches)
			batches = append(batches, mutate.Columns{Table: c.to.name, Attributes: ids})
		}
		b := &batches[n]
		hidden := hiderOf(c.Change)
		for i := range c.Cells {
			of := &c.Cells[i]
			if of.Type != schema.Put || hidden(of) {
				left++
				continue
			}
			key := column{string(of.Family), string(of.Qualifier)}
			n, there := at[key]
			if !there {
				n = len(b.Puts)
				at[key] = n
				b.Puts = append(b.Puts, nil)
			}
			var k cell.Cell
			fillCell(c.Change, c.to, i, &k)
			b.Puts[n] = append(b.Puts[n], k)
		}
	}
	return batches, left
}

// hiderOf tells which puts the delete markers of c hide. As at HBase, a marker hides a put of its own timestamp in whatever
// order the two were written.
func hiderOf(c *schema.Change) func(put *schema.Cell) bool {
	type exact struct {
		family, qualifier string
		timestamp         int64
	}
	families, columns := make(map[string]int64), make(map[exact]int64) // hidden up to which timestamp
	versions, familyVersions := make(map[exact]bool), make(map[exact]bool)
	for i := range c.Cells {
		k := &c.Cells[i]
		family, qualifier := string(k.Family), string(k.Qualifier)
		switch k.Type {
		case schema.DeleteFamily:
			if old, ok := families[family]; !ok || k.Timestamp > old {
				families[family] = k.Timestamp
			}
		case schema.DeleteColumn:
			of := exact{family, qualifier, 0}
			if old, ok := columns[of]; !ok || k.Timestamp > old {
				columns[of] = k.Timestamp
			}
		case schema.Delete:
			versions[exact{family, qualifier, k.Timestamp}] = true
		case schema.DeleteFamilyVersion:
			familyVersions[exact{family, "", k.Timestamp}] = true
		}
	}
	if len(families)+len(columns)+len(versions)+len(familyVersions) == 0 {
		return func(*schema.Cell) bool { return false }
	}
	return func(put *schema.Cell) bool {
		family, qualifier := string(put.Family), string(put.Qualifier)
		if upTo, ok := families[family]; ok && put.Timestamp <= upTo {
			return true
		}
		if upTo, ok := columns[exact{family, qualifier, 0}]; ok && put.Timestamp <= upTo {
			return true
		}
		return versions[exact{family, qualifier, put.Timestamp}] || familyVersions[exact{family, "", put.Timestamp}]
	}
}
