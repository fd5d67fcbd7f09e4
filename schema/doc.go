// Package schema holds the change record that goes from every source to every
// sink, and what both ends must agree on to exchange it: the encodings,
// the record headers, the topic names, the plain table descriptors and the
// renames of tables. It imports nothing else of this module and does no input
// or output.
//
// A record is one row of one WAL edit, or of one scan:
//
//	Kafka key    the row's bytes, or what another Encoder makes of them
//	Kafka value  what an Encoder writes; a Decoder reads them all, see Decoder.Decode
//	headers      waltap.op, waltap.table, waltap.seq, waltap.ts, waltap.source
//
// docs/record.md shows all of them.
//
// Records are lossless: written to an empty HBase in order they give the same
// cells, with their timestamps, kinds of delete and tags.
package schema
