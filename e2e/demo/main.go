// Command demo shows waltap's main job on real servers: it starts two HBase clusters and a Kafka, loads a table, copies it
// with waltap while it is written to, compares both ends by HBase's own Java client, and then shows live changes.
//
// With ONCE=1 it ends after the comparison: exit code 0 when both ends are identical.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/waltap/waltap/connector/web"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

const (
	table  = "shop:orders"
	prefix = "demo"
	rows   = 200_000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Getenv("ONCE") != "")
	switch {
	case err == nil:
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Println("stopped")
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, once bool) (err error) {
	step("starting two HBase 2.6.4 clusters and a Kafka 4.3.1 (the first time their jars are fetched)")
	env, err := testenv.Start(ctx, testenv.Options{
		Kafka: true, Destination: true,
		// Both ends keep every version and marker: what is compared is what was written, not what was cleaned up.
		SourceSite: keepAll, DestinationSite: keepAll,
	})
	if err != nil {
		return err
	}
	defer func() {
		failed := err != nil && ctx.Err() == nil
		cctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if failed {
			fmt.Println("logs are kept in", env.Dir)
		}
		err = errors.Join(err, env.Close(cctx, failed))
	}()
	d := &demo{env: env, once: once}
	return d.run(ctx)
}

var keepAll = map[string]string{
	"hbase.hstore.compaction.min":                   "1000",
	"hbase.hregion.majorcompaction":                 "0",
	"hbase.hregion.memstore.flush.size":             "536870912",
	"hbase.regionserver.global.memstore.size":       "0.6",
	"hfile.block.cache.size":                        "0.1",
	"hbase.regionserver.optionalcacheflushinterval": "0",
}

type demo struct {
	env    *testenv.Env
	once   bool
	waltap *servers.Process
	http   string
}

func (d *demo) run(ctx context.Context) error {
	step("loading %s with %d rows: 3 families, several versions, binary keys, 4 regions", table, rows)
	if err := d.load(ctx); err != nil {
		return err
	}
	step("starting waltap, and writing to the table all the while: puts, four kinds of deletes, increments, appends")
	if err := d.startWaltap(ctx); err != nil {
		return err
	}
	defer d.stopWaltap()
	writer, err := d.env.Src.StartMutator(ctx, table, judge.MutatorSpec{
		Families: []string{"a", "b", "c"}, Keys: 20_000, Seed: 1, Rate: 2000, Threads: 2, ValueSize: 32,
	})
	if err != nil {
		return fmt.Errorf("start writing: %w", err)
	}
	start := time.Now()
	if err := d.awaitStreaming(ctx); err != nil {
		return err
	}
	scanned := time.Since(start)
	if err := sleep(ctx, 5*time.Second); err != nil {
		return err
	}
	written, err := writer.Stop(ctx)
	if err != nil {
		return fmt.Errorf("stop writing: %w", err)
	}
	if written.Failed > 0 {
		return fmt.Errorf("%d writes to the source failed, the last with: %s", written.Failed, written.LastError)
	}
	step("writing stopped after %d changes; waiting until all of them are through", written.Acked)
	if err := d.drain(ctx); err != nil {
		return err
	}
	if err := d.compare(ctx, scanned, time.Since(start), written); err != nil {
		return err
	}
	if d.once {
		return nil
	}
	return d.live(ctx)
}

func (d *demo) load(ctx context.Context) error {
	if err := d.env.Src.CreateNamespace(ctx, "shop"); err != nil {
		return err
	}
	family := func(name string) judge.Family { return judge.Family{Name: name, Versions: 5, Scope: 1} }
	err := d.env.Src.CreateTable(ctx, judge.Table{
		Name: table, Families: []judge.Family{family("a"), family("b"), family("c")},
		Splits: [][]byte{{0x40}, {0x80}, {0xc0}},
	})
	if err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	res, err := d.env.Src.Load(ctx, table, judge.LoadSpec{
		Rows: rows, Seed: 1, Families: []string{"a", "b", "c"}, Columns: 1, Versions: 2, ValueSize: 24, BinaryKeys: true,
		BaseTime: time.Now().Add(-time.Hour).UnixMilli(),
	})
	if err != nil {
		return fmt.Errorf("load table: %w", err)
	}
	step("loaded %d rows, %d cells in %s", res.Rows, res.Cells, res.Elapsed.Round(time.Millisecond))
	return nil
}

const pipeline = `bootstrap.servers: %s
listeners: http://127.0.0.1:%d
connectors:
  - name: demo-source
    connector.class: HBaseSource
    hbase.zookeeper.quorum: %s
    hbase.peer.listen: 127.0.0.1:0
    hbase.peer.advertised.host: localhost
    topic.prefix: %s
    table.include.list: shop:.*
  - name: demo-copy
    connector.class: HBaseSink
    hbase.zookeeper.quorum: %s
    topics.regex: %s\..*
`

func (d *demo) startWaltap(ctx context.Context) error {
	binary, err := testenv.Build(ctx, testenv.BuildOptions{})
	if err != nil {
		return err
	}
	port, err := servers.FreePort()
	if err != nil {
		return err
	}
	d.http = fmt.Sprintf("http://127.0.0.1:%d", port)
	file := filepath.Join(d.env.Dir, "pipeline.yaml")
	yaml := fmt.Sprintf(pipeline, d.env.Kafka.Bootstrap(), port, d.env.Source.ZKQuorum(), prefix, d.env.Destination.ZKQuorum(), prefix)
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		return err
	}
	d.waltap, err = servers.StartProcess(servers.ProcessSpec{
		Name: "waltap", Path: binary, Args: []string{"run", "-f", file}, LogPath: filepath.Join(d.env.Dir, "waltap.log"),
	})
	if err != nil {
		return err
	}
	step("waltap run -f %s   (log: %s, status: %s/status)", file, d.waltap.LogPath(), d.http)
	step("a page to look at: %s%s", d.http, web.Path)
	return nil
}

func (d *demo) stopWaltap() {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	if err := d.waltap.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo: stop waltap:", err)
	}
}

func step(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
