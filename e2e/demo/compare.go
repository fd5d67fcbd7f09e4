package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
)

// drainTimeout is how long the last change may take to arrive.
const drainTimeout = 3 * time.Minute

// status asks waltap's /status.
func (d *demo) status(ctx context.Context) (status.ProcessView, error) {
	var v status.ProcessView
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.http+"/status", nil)
	if err != nil {
		return v, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return v, fmt.Errorf("read /status: %w", err)
	}
	return v, nil
}

// awaitStreaming waits until the scan is complete and changes flow, and shows how far it is.
func (d *demo) awaitStreaming(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	shown := time.Now()
	for {
		v, err := d.status(ctx)
		running := err == nil
		for _, c := range v.Connectors {
			running = running && c.State == status.Running
			if c.Snapshot != nil && time.Since(shown) >= time.Second {
				step("  scanned %d rows, %d of %d regions", c.Snapshot.Rows, c.Snapshot.ShardsDone, c.Snapshot.ShardsTotal)
				shown = time.Now()
			}
		}
		if running {
			return nil
		}
		if !d.waltap.Running() {
			return fmt.Errorf("waltap ended:\n%s", servers.LogTail(d.waltap.LogPath()))
		}
		if serr := sleep(ctx, 100*time.Millisecond); serr != nil {
			return errors.Join(fmt.Errorf("waltap does not stream: %w\n%s", serr, servers.LogTail(d.waltap.LogPath())), err)
		}
	}
}

// drain writes a last row into every region and waits for all of them at the destination: what was written before them
// has arrived then, too.
func (d *demo) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	var last []judge.Mutation
	for _, first := range []byte{0x00, 0x40, 0x80, 0xc0} {
		last = append(last, judge.Put(string([]byte{first})+"\xff\xffthe end", "a", "q", "v"))
	}
	if err := d.env.Src.Write(ctx, table, last...); err != nil {
		return fmt.Errorf("write the last rows: %w", err)
	}
	for _, m := range last {
		for {
			cells, err := d.env.Dst.ReadRow(ctx, table, m.Row)
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("read the last rows at the destination: %w", err)
			}
			if len(cells) > 0 {
				break
			}
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return fmt.Errorf("the last changes have not arrived: %w\n%s", err, servers.LogTail(d.waltap.LogPath()))
			}
		}
	}
	return nil
}

func (d *demo) compare(ctx context.Context, scanned, through time.Duration, written judge.MutatorStats) error {
	step("comparing both tables, all versions and delete markers, by HBase's Java client")
	var src, dst judge.Checksum
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { src, errs[0] = d.env.Src.Checksum(ctx, table, judge.ScanOptions{}) })
	wg.Go(func() { dst, errs[1] = d.env.Dst.Checksum(ctx, table, judge.ScanOptions{}) })
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	fmt.Printf("\n  source       %s\n  destination  %s\n", src, dst)
	fmt.Printf("  scan         %d rows into Kafka in %.1f s: %.0f rows/s\n", rows, scanned.Seconds(), rows/scanned.Seconds())
	fmt.Printf("  meanwhile    %d changes written: %v\n", written.Acked, written.ByKind)
	fmt.Printf("  all of it    at the destination %.1f s after the start\n\n", through.Seconds())
	if src.Equal(dst) {
		fmt.Print("  identical\n\n")
		return nil
	}
	diff, err := d.env.Src.Diff(ctx, table, d.env.Dst, table, judge.ScanOptions{}, 20)
	for _, line := range diff {
		fmt.Println("  ", line)
	}
	return errors.Join(errors.New("the two tables differ"), err)
}
