package schema

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"
)

// oracle is an independent implementation of Avro to hold ours against.
func oracle(tb testing.TB) *goavro.Codec {
	tb.Helper()
	codec, err := goavro.NewCodec(AvroSchema)
	if err != nil {
		tb.Fatalf("parse AvroSchema: %v", err)
	}
	return codec
}

// native is c as goavro shows it.
func native(c *Change) map[string]any {
	cells := make([]any, len(c.Cells))
	for i, k := range c.Cells {
		tags := []any{}
		for rest := k.Tags; len(rest) > 0; {
			var typ int64
			var value []byte
			typ, value, rest = nextTag(rest)
			tags = append(tags, map[string]any{"type": int32(typ), "value": value})
		}
		cells[i] = map[string]any{
			"family": k.Family, "qualifier": k.Qualifier, "timestamp": k.Timestamp,
			"type": k.Type.String(), "value": k.Value, "tags": tags,
		}
	}
	origins := make([]any, len(c.Source.Origins))
	for i, o := range c.Source.Origins {
		origins[i] = o[:]
	}
	return map[string]any{
		"op": c.Op().String(), "table": c.Table, "row": c.Row, "cells": cells,
		"sequence": int64(c.Sequence), "ts": c.Timestamp,
		"source": map[string]any{
			"version": c.Source.Version, "connector": c.Source.Connector, "cluster_id": c.Source.ClusterID[:],
			"region": c.Source.Region, "kind": c.Source.Kind.String(), "origins": origins, "epoch": c.Source.Epoch,
		},
	}
}

func TestOwnBytesReadByOracle(t *testing.T) {
	codec := oracle(t)
	rapid.Check(t, func(t *rapid.T) {
		c := genChange(t)
		got, rest, err := codec.NativeFromSingle(AppendAvro(nil, c))
		if err != nil {
			t.Fatalf("goavro refuses our bytes: %v", err)
		}
		if len(rest) != 0 {
			t.Fatalf("goavro leaves %d bytes", len(rest))
		}
		if d := cmp.Diff(any(native(c)), got, equalChanges); d != "" {
			t.Fatalf("goavro reads another record (-want +got):\n%s", d)
		}
	})
}

func TestOracleBytesReadByUs(t *testing.T) {
	codec := oracle(t)
	var d Decoder
	var got Change // reused on purpose: nothing of an earlier record may show
	rapid.Check(t, func(t *rapid.T) {
		want := genChange(t)
		b, err := codec.SingleFromNative(nil, native(want))
		if err != nil {
			t.Fatalf("goavro encode: %v", err)
		}
		if err := d.Decode(b, &got); err != nil {
			t.Fatalf("decode goavro's bytes: %v", err)
		}
		if diff := diffChanges(want, &got); diff != "" {
			t.Fatalf("Decoder (-want +got):\n%s", diff)
		}
		var fresh Change
		if err := DecodeAvro(b, &fresh); err != nil {
			t.Fatalf("DecodeAvro: %v", err)
		}
		if diff := diffChanges(want, &fresh); diff != "" {
			t.Fatalf("DecodeAvro (-want +got):\n%s", diff)
		}
	})
}

func TestFingerprint(t *testing.T) {
	codec := oracle(t)
	if codec.Rabin != AvroFingerprint() {
		t.Errorf("AvroFingerprint() = %#x, goavro has %#x", AvroFingerprint(), codec.Rabin)
	}
	if got := rabin([]byte(codec.CanonicalSchema())); got != AvroFingerprint() {
		t.Errorf("AvroFingerprint() = %#x, the specification's algorithm has %#x", AvroFingerprint(), got)
	}
	head := AppendAvro(nil, &Change{})[:10]
	if got := binary.LittleEndian.Uint64(head[2:]); head[0] != 0xC3 || head[1] != 0x01 || got != codec.Rabin {
		t.Errorf("record begins % x, want c3 01 and the fingerprint %#x little-endian", head, codec.Rabin)
	}
}

// rabin is CRC-64-AVRO bit by bit, from the definition in the specification.
func rabin(b []byte) uint64 {
	const empty = 0xc15d213aa4d7a795
	f := uint64(empty)
	for _, x := range b {
		f ^= uint64(x)
		for range 8 {
			f = f>>1 ^ empty&-(f&1)
		}
	}
	return f
}

// TestBlocks reads arrays in the forms other writers use: several blocks, and
// blocks with a negative count and their size.
func TestBlocks(t *testing.T) {
	origins := []UUID{{1}, {2}, {3}}
	want := &Change{
		Table: "default:t", Row: []byte("r"), Sequence: 7, Timestamp: 9,
		Cells: []Cell{
			{Family: []byte("f"), Qualifier: []byte("a"), Timestamp: math.MinInt64, Type: Put, Value: []byte("1"), Tags: tagList(tag(8, "ttl"), tag(2, ""))},
			{Family: []byte("f"), Qualifier: []byte("b"), Timestamp: -1, Type: Delete},
			{Family: []byte("f"), Timestamp: math.MaxInt64, Type: DeleteFamily},
		},
		Source: Source{Version: "v", Connector: "c", Region: "e", Kind: KindWAL, Origins: origins, Epoch: -3},
	}
	for _, sizes := range [][]int{{3}, {1, 2}, {1, 1, 1}, {-3}, {-1, 2}, {2, -1}, {-1, -1, -1}} {
		b := appendInBlocks(want, sizes)
		var got Change
		if err := DecodeAvro(b, &got); err != nil {
			t.Errorf("blocks %v: %v", sizes, err)
			continue
		}
		if d := diffChanges(want, &got); d != "" {
			t.Errorf("blocks %v (-want +got):\n%s", sizes, d)
		}
	}
}

// appendInBlocks writes c with its cells and origins in blocks of the given
// numbers of items, a negative one for a block that says its size.
func appendInBlocks(c *Change, blocks []int) []byte {
	b := binary.LittleEndian.AppendUint64([]byte{0xC3, 0x01}, AvroFingerprint())
	b = appendLong(b, int64(c.Op()))
	b = appendBytes(appendString(b, c.Table), c.Row)
	b = inBlocks(b, blocks, func(dst []byte, i int) []byte { return appendCell(dst, &c.Cells[i]) })
	b = appendLong(appendLong(b, int64(c.Sequence)), c.Timestamp)
	b = appendString(appendString(b, c.Source.Version), c.Source.Connector)
	b = appendString(append(b, c.Source.ClusterID[:]...), c.Source.Region)
	b = appendLong(b, int64(c.Source.Kind))
	b = inBlocks(b, blocks, func(dst []byte, i int) []byte { return append(dst, c.Source.Origins[i][:]...) })
	return appendLong(b, c.Source.Epoch)
}

func inBlocks(dst []byte, blocks []int, item func(dst []byte, i int) []byte) []byte {
	next := 0
	for _, n := range blocks {
		var body []byte
		for range max(n, -n) {
			body = item(body, next)
			next++
		}
		dst = appendLong(dst, int64(n))
		if n < 0 {
			dst = appendLong(dst, int64(len(body)))
		}
		dst = append(dst, body...)
	}
	return appendLong(dst, 0)
}
