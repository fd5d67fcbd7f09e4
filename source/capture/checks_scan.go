package capture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/check"
)

// AssumedScanRate is what one process is assumed to scan in a second, bytes, where nothing is known: it is a round figure below what
// one core does, not a measurement of the clusters at hand.
const AssumedScanRate = 40 << 20

var checkScanWALs = &check.Check{Name: "source.wals.scan", Title: "There is room for the WALs that a scan holds",
	Means: "How much WAL the source is likely to keep while the tables are scanned in exact order: what its region servers write in a second, an average since they were started (bean WAL of their web interfaces), " +
		"for as long as the scan is likely to take: the size of the tables as the region servers have reported it, at snapshot.max.bytes.per.second or an assumed 40 MiB/s. It is held against snapshot.max.wal.hold and, with --namenode, against the room in HDFS.",
	Limits: "The load that the region servers report to the master has no sizes of WALs: where one has no web interface (hbase.regionserver.info.port: -1) the estimate is unknown. A busier hour than the average. Replicas: HDFS needs the room as often as it replicates.",
	Remedy: "Begin in a quieter hour, scan fewer tables at a time (migration.waves), make room, or use snapshot.order: concurrent, which holds no WALs."}

// scanWALs estimates what a scan holds.
func (k *checker) scanWALs(ctx context.Context) []check.Result {
	switch {
	case k.cfg.SnapshotMode == SnapshotNoData || k.cfg.SnapshotMode == SnapshotInitialOnly:
		return []check.Result{checkScanWALs.Right("", "no WALs are held for a scan (snapshot.mode)")}
	case k.cfg.SnapshotOrder == OrderConcurrent:
		return []check.Result{checkScanWALs.Right("", "no WALs are held for a scan (snapshot.order: concurrent)")}
	case k.cluster.Status == nil || len(k.all) == 0:
		return []check.Result{checkScanWALs.Unknown("", "the tables are not known")}
	}
	var size int64
	sizes := tableSizes(k.cluster.Status)
	for _, t := range k.all {
		size += sizes[t.FullName()]
	}
	rate, from := k.ScanRate, "snapshot.max.bytes.per.second"
	if rate <= 0 {
		rate, from = AssumedScanRate, "assumed"
	}
	took := time.Duration(float64(size) / float64(rate) * float64(time.Second)).Round(time.Second)
	scan := fmt.Sprintf("the scan of %s is likely to take %s at %s/s (%s)", mib(size), took, mib(rate), from)
	grows, why := k.growth(ctx)
	if why != "" {
		if k.tooLong(took) {
			return []check.Result{checkScanWALs.Warn("", scan+", longer than snapshot.max.wal.hold ("+k.cfg.MaxWALHold.String()+"); how much WAL is written meanwhile is not known: "+why, "")}
		}
		return []check.Result{checkScanWALs.Unknown("", "%s; how much WAL is written meanwhile is not known: %s", scan, why)}
	}
	held := int64(float64(grows) * took.Seconds())
	text := fmt.Sprintf("about %s: %s, and the region servers have written %.1f MiB/s since they were started", mib(held), scan, float64(grows)/(1<<20))
	if k.tooLong(took) {
		return []check.Result{checkScanWALs.Warn("", text+"; that is longer than snapshot.max.wal.hold ("+k.cfg.MaxWALHold.String()+")", "")}
	}
	if k.NameNode != "" {
		if left, _, err := hdfsRoom(ctx, k.NameNode); err == nil && held > left {
			return []check.Result{checkScanWALs.Warn("", fmt.Sprintf("%s; HDFS has room for %s", text, mib(left)), "")}
		}
	}
	return []check.Result{checkScanWALs.Right("", "%s", text)}
}

// tooLong tells whether a scan would be given up before it is complete.
func (k *checker) tooLong(scan time.Duration) bool {
	return k.cfg.MaxWALHold > 0 && scan > k.cfg.MaxWALHold
}

// growth is what all region servers together have written to their WALs in a second, bytes, an average since they were started. why says
// why it is not known.
func (k *checker) growth(ctx context.Context) (rate int64, why string) {
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, confReaders)
	silent := ""
	for _, s := range k.cluster.Servers {
		port := k.cluster.Info[s].InfoPort
		if port == 0 {
			return 0, "region server " + s.Addr() + " has no web interface"
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			written, err := walWritten(ctx, "http://"+net.JoinHostPort(s.Host, strconv.Itoa(port)))
			up := time.Since(time.UnixMilli(s.StartCode)).Seconds()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				silent = fmt.Sprintf("region server %s: %v", s.Addr(), err)
				return
			}
			rate += int64(float64(written) / max(1, up))
		})
	}
	all.Wait()
	if len(k.cluster.Servers) == 0 {
		silent = "no region server is known"
	}
	return rate, silent
}

// walWritten reads how many bytes a region server has written to its WALs, of the bean WAL of its JMX. HBase before 2.0 counts
// appended entries and their mean size.
func walWritten(ctx context.Context, base string) (int64, error) {
	b, err := get(ctx, base+"/jmx?qry="+url.QueryEscape("Hadoop:service=HBase,name=RegionServer,sub=WAL"))
	if err != nil {
		return 0, err
	}
	var answer struct {
		Beans []struct {
			WrittenBytes *int64   `json:"writtenBytes"`
			Appends      *int64   `json:"AppendSize_num_ops"`
			Mean         *float64 `json:"AppendSize_mean"`
		} `json:"beans"`
	}
	if err := json.Unmarshal(bytes.ReplaceAll(b, []byte("NaN"), []byte("0")), &answer); err != nil || len(answer.Beans) == 0 {
		return 0, fmt.Errorf("%s shows no bean RegionServer, WAL", base)
	}
	switch w := answer.Beans[0]; {
	case w.WrittenBytes != nil:
		return *w.WrittenBytes, nil
	case w.Appends != nil && w.Mean != nil:
		return int64(float64(*w.Appends) * *w.Mean), nil
	}
	return 0, fmt.Errorf("%s does not show how much was appended to its WALs", base)
}

// retained asks a NameNode what HBase's WAL folders hold, by WebHDFS.
func (k *checker) retained(ctx context.Context) []check.Result {
	root, user := "/hbase", k.cfg.Source.User
	if user == "" {
		user = "waltap"
	}
	for _, c := range k.conf {
		if u, err := url.Parse(c.values["hbase.rootdir"]); err == nil && u.Path != "" {
			root = strings.TrimRight(u.Path, "/")
		}
	}
	var found []string
	for _, dir := range []string{"WALs", "oldWALs"} {
		size, files, err := contentSummary(ctx, k.NameNode, user, root+"/"+dir)
		if err != nil {
			return []check.Result{checkWALs.Unknown("NameNode", "how much %s/%s holds: %v", root, dir, err)}
		}
		found = append(found, fmt.Sprintf("%s/%s holds %s in %d files", root, dir, mib(size), files))
	}
	return []check.Result{checkWALs.Right("NameNode", "%s", strings.Join(found, ", "))}
}

// contentSummary reads the size of a folder in HDFS, without replicas.
func contentSummary(ctx context.Context, base, user, dir string) (size, files int64, err error) {
	b, err := get(ctx, strings.TrimRight(base, "/")+"/webhdfs/v1"+dir+"?op=GETCONTENTSUMMARY&user.name="+url.QueryEscape(user))
	if err != nil {
		return 0, 0, err
	}
	var answer struct {
		ContentSummary *struct{ Length, FileCount int64 }
	}
	if err := json.Unmarshal(b, &answer); err != nil || answer.ContentSummary == nil {
		return 0, 0, errors.New("the NameNode's WebHDFS does not tell")
	}
	return answer.ContentSummary.Length, answer.ContentSummary.FileCount, nil
}
