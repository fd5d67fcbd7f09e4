package sink

// fullPartitions is how many partitions have the whole of what the configuration gives to one. When more are assigned they share what
// these have: so the sink's memory is bounded whatever the number of partitions. Each of them has, beside the recent cells, a fetch that
// is read, one that waits, one or two whose records are in the batch at hand, and that batch: with 8 partitions under full load and cells
// of 100 B in snappy, 115 MiB are in use in all, of which 32 MiB are recent cells, 50 MiB fetches and what was compressed in them, and
// 12 MiB batches.
const fullPartitions = 8

// limits are what one partition may have in memory.
type limits struct {
	records     int   // of a batch
	batchBytes  int64 // of a batch
	fetchBytes  int   // of a fetch
	recentCells int
}

// Least that a partition has, unless it is configured to have less.
const (
	leastRecords     = 500
	leastBytes       = 64 << 10
	leastRecentCells = 1 << 16 // it remembers as many cells well as warm reads records: a third
)

// limitsOf is for each of n partitions.
func (c *Config) limitsOf(n int) limits {
	return limits{
		records:     part(c.BatchRecords, leastRecords, n),
		batchBytes:  part(c.BatchBytes, leastBytes, n),
		fetchBytes:  part(c.FetchMaxBytes, leastBytes, n),
		recentCells: part(recentCells, leastRecentCells, n) / recentWays * recentWays,
	}
}

// part is what each of n partitions has where fullPartitions have full each.
func part[T int | int64](full, least T, n int) T {
	return min(full, max(least, full*fullPartitions/T(max(n, fullPartitions))))
}
