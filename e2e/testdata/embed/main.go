// Command embed is a program of another module that embeds waltap: it reads the changes of tables of one HBase and applies them to another. It
// ends by SIGTERM. waltap's e2e tests build and run it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
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

func main() {
	from, to := flag.String("from", "", "ZooKeeper of the source"), flag.String("to", "", "ZooKeeper of the destination")
	name, tables := flag.String("name", "", "name of the reader"), flag.String("tables", "", "tables, with commas")
	fail := flag.Int("fail", 0, "refuse each n-th batch once it is applied, the first among them")
	remove := flag.Bool("remove", false, "remove the peer at the end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *from, *to, *name, strings.Split(*tables, ","), *fail, *remove); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, from, to, name string, tables []string, fail int, remove bool) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	target, err := hbase.OpenTarget(ctx, hbase.Target{ZooKeeper: []string{to}, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	reader, err := changes.Open(ctx, changes.Config{Name: name, ZooKeeper: []string{from}, Tables: tables, Listen: "127.0.0.1:0", AdvertisedHost: "localhost", Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	fmt.Printf("reading, peer added: %t\n", reader.Created())
	if err := copyTo(ctx, reader, target, fail); err != nil {
		return err
	}
	if remove {
		return reader.RemovePeer(context.WithoutCancel(ctx))
	}
	return nil
}

// copyTo knows the interfaces only.
func copyTo(ctx context.Context, from source.Reader, to sink.Applier, fail int) error {
	ops := map[schema.Op]int{}
	for n := 1; ; n++ {
		list, ack, err := from.ReadBatch(ctx)
		if ctx.Err() != nil {
			fmt.Printf("%d batches: %v\n", n-1, ops)
			return nil
		}
		if err != nil {
			return err
		}
		for i := range list {
			ops[list[i].Op()]++
		}
		err = to.Apply(context.WithoutCancel(ctx), &sink.Batch{Changes: list})
		if err == nil && fail > 0 && (n-1)%fail == 0 {
			err = fmt.Errorf("batch %d is refused", n)
		}
		ack(err)
	}
}
