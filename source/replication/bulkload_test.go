package replication

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/source"
)

func descriptor(t testing.TB, change func(*pb.BulkLoadDescriptor)) []byte {
	t.Helper()
	m := &pb.BulkLoadDescriptor{TableName: &pb.TableName{Namespace: []byte("default"), Qualifier: []byte("t")}, EncodedRegionName: []byte("abc"), BulkloadSeqNum: proto.Int64(28),
		Stores: []*pb.StoreDescriptor{{FamilyName: []byte("f"), StoreHomeDir: proto.String("f"), StoreFile: []string{"one_SeqId_28_", "two_SeqId_28_"}}}}
	change(m)
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serveBulk is serve with files that can be read.
func serveBulk(t *testing.T, read BulkReader) *fixture {
	t.Helper()
	f := &fixture{producer: &heldProducer{given: make(chan struct{}, 100)}, stats: &countStats{}, newFamilies: new(atomic.Int32)}
	f.pub = source.NewPublisher(f.producer, 0, func(string, source.Tally) {})
	f.pub.Route("default:t", "p.default.t", 1, source.Encoding{})
	r := NewReceiver(Config{
		Connector: "c", Version: "v", ClusterID: clusterA, Publisher: f.pub, Stats: f.stats, BulkLoads: read,
		Table: func(name string) (Table, bool) {
			return Table{Epoch: 3, Since: 1000, ReadPoint: func(row []byte) uint64 {
				if string(row) < "m" {
					return 30
				}
				return 0
			}, Families: map[string]bool{"f": true}}, name == "default:t"
		},
		NewFamily: func() { f.newFamilies.Add(1) }, IsHeartbeat: func(string) bool { return false },
	})
	f.conn, f.addr = connect(t, r)
	return f
}

func loading(t *testing.T, change func(*pb.BulkLoadDescriptor)) cell.Cell {
	return cell.Cell{Row: []byte("x"), Family: metaFamily, Qualifier: bulkLoad, Type: cell.Put, Value: descriptor(t, change)}
}

func asItIs(*pb.BulkLoadDescriptor) {}

// The cells of a load come in its place, a record for each row, with the sequence of the load and the time of the edit; not the rows that
// the scan has delivered.
func TestBulkLoadInItsPlace(t *testing.T) {
	var got BulkLoad
	f := serveBulk(t, func(_ context.Context, l BulkLoad, each func(*cell.Cell) error) error {
		got = l
		for _, row := range []string{"a", "p", "q"} {
			for _, qualifier := range []string{"1", "2"} {
				c := put(row, qualifier)
				if err := each(&c); err != nil {
					return err
				}
			}
		}
		return nil
	})
	go func() { <-f.producer.given; f.producer.answer(nil) }()
	err := f.call(t.Context(), edit{table: "t", seq: 27, cells: []cell.Cell{put("p", "before")}}, edit{table: "t", seq: 30, cells: []cell.Cell{loading(t, asItIs)}}, edit{table: "t", seq: 31, cells: []cell.Cell{put("p", "after")}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(BulkLoad{Table: "default:t", Region: "abc", Files: []BulkFile{{"f", "one_SeqId_28_"}, {"f", "two_SeqId_28_"}}}, got); d != "" {
		t.Error(d)
	}
	var records []string
	for _, c := range f.producer.changes(t) {
		records = append(records, fmt.Sprintf("%s %d %d %d cells", c.Row, c.Sequence, c.Timestamp, len(c.Cells)))
	}
	if d := cmp.Diff([]string{"p 27 1234 1 cells", "p 28 1234 2 cells", "q 28 1234 2 cells", "p 31 1234 1 cells"}, records); d != "" {
		t.Error(d)
	}
	if s := strings.Join(f.stats.markers, " "); s != markerBulkLoadRead || f.stats.below != 1 {
		t.Errorf("markers %s, %d rows left out", s, f.stats.below)
	}
}

// A large row goes in several records.
func TestBulkLoadOfALargeRow(t *testing.T) {
	f := serveBulk(t, func(_ context.Context, _ BulkLoad, each func(*cell.Cell) error) error {
		for i := range 5 {
			c := put("z", fmt.Sprint(i))
			c.Value = make([]byte, 200<<10)
			if err := each(&c); err != nil {
				return err
			}
		}
		return nil
	})
	go func() { // its records may be given to Kafka one by one
		for {
			select {
			case <-f.producer.given:
				f.producer.answer(nil)
			case <-t.Context().Done():
				return
			}
		}
	}()
	if err := f.call(t.Context(), edit{table: "t", seq: 30, cells: []cell.Cell{loading(t, asItIs)}}); err != nil {
		t.Fatal(err)
	}
	cells := 0
	changes := f.producer.changes(t)
	for _, c := range changes {
		cells += len(c.Cells)
	}
	if len(changes) != 2 || cells != 5 {
		t.Errorf("%d records of %d cells", len(changes), cells)
	}
}

func TestBulkLoadThatCannotBeRead(t *testing.T) {
	odd := func(_ context.Context, _ BulkLoad, each func(*cell.Cell) error) error {
		c := put("z", "1")
		c.Type = 77
		return each(&c)
	}
	fails := func(err error) BulkReader {
		return func(context.Context, BulkLoad, func(*cell.Cell) error) error { return err }
	}
	for _, tc := range []struct {
		name   string
		read   BulkReader
		change func(*pb.BulkLoadDescriptor)
		says   string
		marker string
	}{
		{"files that are gone", fails(errors.New("no such file")), asItIs, "no such file", MarkerBulkLoad},
		{"a cell that is none", odd, asItIs, "a cell of type 77", MarkerBulkLoad},
		{"a file system that is away", fails(filesystem.ErrUnavailable), asItIs, "does not answer", ""},
		{"another table", fails(nil), func(m *pb.BulkLoadDescriptor) { m.TableName.Qualifier = []byte("u") }, "is of table default:u", MarkerBulkLoad},
		{"a new family", fails(nil), func(m *pb.BulkLoadDescriptor) { m.Stores[0].FamilyName = []byte("new") }, "family new was added", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := serveBulk(t, tc.read)
			err := f.call(t.Context(), edit{table: "t", seq: 30, cells: []cell.Cell{loading(t, tc.change)}})
			if !rpc.IsRemote(err, "IOException") || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("answered with %v, want an IOException that says %q", err, tc.says)
			}
			if s := strings.Join(f.stats.markers, " "); s != tc.marker {
				t.Errorf("markers %q, want %q", s, tc.marker)
			}
		})
	}
}

// A load that HBase itself does not replicate, and one of an earlier life of the table, are left out.
func TestBulkLoadsThatAreNotShipped(t *testing.T) {
	f := serveBulk(t, func(context.Context, BulkLoad, func(*cell.Cell) error) error { return errors.New("was read") })
	err := f.call(t.Context(), edit{table: "t", seq: 30, cells: []cell.Cell{loading(t, func(m *pb.BulkLoadDescriptor) { m.Replicate = proto.Bool(false) })}},
		edit{table: "t", seq: 31, written: 999, cells: []cell.Cell{loading(t, asItIs)}})
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(f.stats.markers, " "); s != markerBulkLoadSkipped+" "+markerBulkLoadSkipped {
		t.Errorf("markers %s", s)
	}
}

// FuzzBulkLoad decodes a BulkLoadDescriptor.
func FuzzBulkLoad(f *testing.F) {
	f.Add(descriptor(f, asItIs))
	f.Add(descriptor(f, func(m *pb.BulkLoadDescriptor) { m.BulkloadSeqNum = proto.Int64(-1) }))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, sequence, _, err := parseBulkLoad(b)
		if err == nil && (sequence > 1<<63-1 || !strings.Contains(l.Table, ":")) {
			t.Fatalf("%+v, sequence %d", l, sequence)
		}
	})
}
