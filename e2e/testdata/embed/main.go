// Command embed is a program of another module that embeds waltap: it reads what tables of one HBase hold, then their changes, and applies all of it
// to another HBase. It ends by SIGTERM, or when a scan without changes is complete. waltap's e2e tests build and run it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/sink/hbase"
	"github.com/waltap/waltap/source"
	"github.com/waltap/waltap/source/changes"
)

// options of a run.
type options struct {
	from, to, name, tables, snapshot, state string
	fail, stall                             int
	remove                                  bool
}

func main() {
	var o options
	flag.StringVar(&o.from, "from", "", "ZooKeeper of the source")
	flag.StringVar(&o.to, "to", "", "ZooKeeper of the destination")
	flag.StringVar(&o.name, "name", "", "name of the reader")
	flag.StringVar(&o.tables, "tables", "", "tables, with commas")
	flag.StringVar(&o.snapshot, "snapshot", changes.SnapshotInitial, "never, initial or initial_only")
	flag.StringVar(&o.state, "state", "", "file that keeps the progress of the scan")
	flag.IntVar(&o.fail, "fail", 0, "refuse each n-th batch once it is applied, the first among them")
	flag.IntVar(&o.stall, "stall", 0, "neither apply nor acknowledge anything from the n-th batch on")
	flag.BoolVar(&o.remove, "remove", false, "remove the peer at the end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	target, err := hbase.OpenTarget(ctx, hbase.Target{ZooKeeper: []string{o.to}, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	store, err := changes.OpenFile(o.state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	reader, err := changes.Open(ctx, changes.Config{Name: o.name, ZooKeeper: []string{o.from}, Tables: strings.Split(o.tables, ","), Listen: "127.0.0.1:0",
		AdvertisedHost: "localhost", Snapshot: o.snapshot, Store: store, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	fmt.Printf("reading, peer added: %t, %+v\n", reader.Created(), reader.Progress())
	if err := copyTo(ctx, reader, target, o); err != nil {
		return err
	}
	if o.remove {
		return reader.RemovePeer(context.WithoutCancel(ctx))
	}
	return nil
}

// copyTo knows the interfaces only.
func copyTo(ctx context.Context, from source.Reader, to sink.Applier, o options) error {
	scanned, ops := 0, map[schema.Op]int{}
	for n := 1; ; n++ {
		list, ack, err := from.ReadBatch(ctx)
		if ctx.Err() != nil || errors.Is(err, io.EOF) {
			fmt.Printf("%d batches: scanned %d, changes %v\n", n-1, scanned, ops)
			return nil
		}
		if err != nil {
			return err
		}
		if n == o.stall {
			<-ctx.Done()
			ack(ctx.Err())
			continue
		}
		err = to.Apply(context.WithoutCancel(ctx), &sink.Batch{Changes: list})
		if err == nil && o.fail > 0 && (n-1)%o.fail == 0 {
			err = fmt.Errorf("batch %d is refused", n)
		}
		for i := range list {
			switch {
			case err != nil: // comes again
			case list[i].Source.Kind == schema.KindScan:
				scanned++
			default:
				ops[list[i].Op()]++
			}
		}
		ack(err)
	}
}
