//go:build e2e

package hfile

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hfile"
)

// benchFiles are made once: 1 000 000 cells with values of 100 bytes.
var benchFiles = struct {
	sync.Once
	files []File
	err   error
}{}

func benchmarkFiles(b *testing.B) []File {
	benchFiles.Do(func() {
		var specs []Spec
		for _, kind := range [][2]string{{"NONE", "NONE"}, {"FAST_DIFF", "NONE"}, {"FAST_DIFF", "SNAPPY"}, {"FAST_DIFF", "LZ4"}, {"FAST_DIFF", "ZSTD"}, {"FAST_DIFF", "GZ"},
			{"DIFF", "SNAPPY"}, {"PREFIX", "SNAPPY"}, {"ROW_INDEX_V1", "SNAPPY"}} {
			specs = append(specs, Spec{Name: kind[0] + "-" + kind[1], Encoding: kind[0], Compression: kind[1], Plain: true, Rows: 200_000, Seed: 7})
		}
		benchFiles.files, benchFiles.err = Generate(testenv.Context(b, 10*time.Minute), b.TempDir(), specs)
	})
	if benchFiles.err != nil {
		b.Fatal(benchFiles.err)
	}
	return benchFiles.files
}

// BenchmarkScan reads every cell of a file, without looking at the bytes of values. MB/s are of logical data: the parts of all cells, timestamp and
// type as 12 bytes; MB/cpu-s, of the process's CPU time, are those of a core also on a machine that is busy with other things. Without workers it is
// one core's work:
//
//	go test -tags e2e -run '^$' -bench . ./e2e/hfile
func BenchmarkScan(b *testing.B) {
	for _, f := range benchmarkFiles(b) {
		for _, workers := range []int{0, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", f.Name, workers), func(b *testing.B) {
				h := open(b, f, workers)
				b.SetBytes(f.Bytes)
				b.ReportAllocs()
				before := cpu(b)
				for b.Loop() {
					if n := read(b, h); n != f.Cells {
						b.Fatalf("%d cells", n)
					}
				}
				used := (cpu(b) - before).Seconds()
				b.ReportMetric(float64(f.Cells)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mcells/s")
				b.ReportMetric(float64(f.Bytes)*float64(b.N)/used/1e6, "MB/cpu-s")
			})
		}
	}
}

// cpu is the CPU time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func read(b *testing.B, h *hfile.File) (cells int64) {
	s, err := h.Scan(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var c hfile.Cell
	var sum int64
	for {
		ok, err := s.Next(&c)
		if err != nil {
			b.Fatal(err)
		}
		if !ok {
			benchSum = sum
			return cells
		}
		cells++
		sum += c.Timestamp ^ int64(c.Type) ^ c.Sequence + int64(len(c.Row)+len(c.Value))
	}
}

// benchSum keeps the compiler from leaving the reading out.
var benchSum int64
