// Package verify compares tables of two HBase clusters, and repairs what differs. It needs no migration: any two clusters will do.
//
// A pass reads both ends in step, row by row, in many ranges of rows at once, and keeps of each row a hash: memory does not grow
// with rows or their width. A row whose hashes differ is not bad yet, for the tables may be written to. It is read again, cell by
// cell, the target first and the source after it, and what differs is remembered. Once everything that the source held then is
// applied at the target (proved by the pipeline's watermark, or assumed after a while) it is read so once more: only what
// differs in both readings, in the same way, counts. What a change made different between two reads of one reading has come to the
// target by the next.
//
// By default the comparison is raw: all versions, delete markers and tags. HBase drops cells that nobody sees when it flushes and
// compacts, each cluster in its own time. Such differences are told from the others (Exception): they are named and counted,
// and the row stays good.
package verify
