package connector_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/sink/hbase"
	"github.com/waltap/waltap/source"
	"github.com/waltap/waltap/source/changes"
)

// A program that copies a table of one cluster to another one, then follows its changes. Nothing is acknowledged before it is applied, so it may
// be killed at any time. e2e/testdata/embed is a whole one.
func Example_embedded() {
	ctx := context.Background()
	store, err := changes.OpenFile("orders.state") // the progress of the scan; a Store of one's own has two methods
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	reader, err := changes.Open(ctx, changes.Config{
		Name: "orders", ZooKeeper: []string{"zk1:2181"}, Tables: []string{"default:orders"}, AdvertisedHost: "this.machine",
		Snapshot: changes.SnapshotInitial, Store: store,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer reader.Close()
	target, err := hbase.OpenTarget(ctx, hbase.Target{ZooKeeper: []string{"zk2:2181"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer target.Close()
	fmt.Println(follow(ctx, reader, target))
}

func follow(ctx context.Context, from source.Reader, to sink.Applier) error {
	for {
		list, ack, err := from.ReadBatch(ctx)
		if err != nil {
			return err
		}
		err = to.Apply(ctx, &sink.Batch{Changes: list})
		ack(err) // nil: the source may forget the batch; an error: it comes again
		if errors.As(err, new(*sink.PermanentError)) || errors.As(err, new(*sink.RefusedError)) {
			return err // it would fail for ever
		}
	}
}
