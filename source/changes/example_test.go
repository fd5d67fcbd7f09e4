package changes_test

import (
	"context"
	"fmt"

	"github.com/waltap/waltap/source/changes"
)

// A program that prints what a table holds, then what is written to it. The example of package connector writes it to another cluster.
func Example() {
	ctx := context.Background()
	store, err := changes.OpenFile("orders.state")
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
	for {
		list, ack, err := reader.ReadBatch(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		for i := range list {
			fmt.Printf("%s %s %q\n", list[i].Source.Kind, list[i].Op(), list[i].Row)
		}
		ack(nil) // the source may forget the batch; with an error it comes again
	}
}
