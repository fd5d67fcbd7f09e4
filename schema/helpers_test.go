package schema

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var equalChanges = cmp.Options{cmpopts.EquateEmpty()}

func diffChanges(want, got *Change) string { return cmp.Diff(want, got, equalChanges) }

func mustUUID(tb testing.TB, s string) UUID {
	tb.Helper()
	u, err := ParseUUID(s)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// tag is one tag in HBase's serialised form.
func tag(typ byte, value string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(1+len(value)))
	return append(append(b, typ), value...)
}

func tagList(tags ...[]byte) []byte {
	var b []byte
	for _, t := range tags {
		b = append(b, t...)
	}
	return b
}

func genBytes(t *rapid.T, label string) []byte {
	return rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, label)
}

// genTags draws tag lists as HBase writes them and, now and then, bytes that are none.
func genTags(t *rapid.T) []byte {
	if rapid.IntRange(0, 9).Draw(t, "raw tags") == 0 {
		return genBytes(t, "tags")
	}
	var b []byte
	for range rapid.IntRange(0, 3).Draw(t, "tags") {
		b = append(b, tag(rapid.Byte().Draw(t, "tag type"), string(genBytes(t, "tag value")))...)
	}
	return b
}

func genUUID(t *rapid.T, label string) UUID {
	return UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
}

func genChange(t *rapid.T) *Change {
	c := &Change{
		Table:     rapid.StringMatching(`[a-z]{1,8}:[A-Za-z0-9_.-]{1,20}`).Draw(t, "table"),
		Row:       genBytes(t, "row"),
		Sequence:  rapid.Uint64().Draw(t, "sequence"),
		Timestamp: rapid.Int64().Draw(t, "ts"),
		Source: Source{
			Version:   rapid.String().Draw(t, "version"),
			Connector: rapid.String().Draw(t, "connector"),
			ClusterID: genUUID(t, "cluster id"),
			Region:    rapid.StringMatching(`[0-9a-f]{0,32}`).Draw(t, "region"),
			Kind:      rapid.SampledFrom([]Kind{KindScan, KindWAL}).Draw(t, "kind"),
			Epoch:     rapid.Int64().Draw(t, "epoch"),
		},
	}
	for range rapid.IntRange(0, 3).Draw(t, "origins") {
		c.Source.Origins = append(c.Source.Origins, genUUID(t, "origin"))
	}
	types := cellTypes[:]
	switch rapid.IntRange(0, 3).Draw(t, "op") {
	case 0:
		types = []CellType{Put}
	case 1:
		types = []CellType{DeleteFamily}
	}
	for range rapid.IntRange(0, 6).Draw(t, "cells") {
		c.Cells = append(c.Cells, Cell{
			Family:    genBytes(t, "family"),
			Qualifier: genBytes(t, "qualifier"),
			Timestamp: rapid.Int64().Draw(t, "timestamp"),
			Type:      rapid.SampledFrom(types).Draw(t, "type"),
			Value:     genBytes(t, "value"),
			Tags:      genTags(t),
		})
	}
	return c
}
