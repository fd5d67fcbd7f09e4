// Package testenv gives the end-to-end tests what they share: a source and a
// destination HBase, a Kafka broker, the judge, and waltap itself as a process.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/internal/hbase/admin"
)

// startTimeout bounds the start of all servers, the first download of their jars
// included.
const startTimeout = 10 * time.Minute

// Options says which servers a package's tests need, beside the source and the
// judge.
type Options struct {
	Destination     bool
	Kafka           bool
	HDFS            bool              // the source keeps its data on a real HDFS, and has a second region server in a JVM of its own
	SourceSite      map[string]string // added to the source's hbase-site.xml
	DestinationSite map[string]string
	KafkaProperties map[string]string // added to server.properties
	HeapMB          int               // of each HBase; default 1536
	KafkaHeapMB     int               // default 512
	Judge           *judge.Judge      // one that another Env has, and ends; nil: one of its own
	// Steady leaves servers.FastStart away, and gives each server all of its heap from the start: for benchmarks.
	Steady bool
}

// Env is the set of running servers. Tests share it: each uses tables, topics and
// peers of its own (Name) and leaves the servers running.
type Env struct {
	Dir         string // of all data and logs
	Source      *servers.HBase
	Destination *servers.HBase // nil unless asked for
	Kafka       *servers.Kafka // nil unless asked for
	HDFS        *servers.HDFS  // nil unless asked for
	secure      secureKafka
	old         oldHBase
	Judge       *judge.Judge
	othersJudge bool
	Src, Dst    *judge.Cluster // the judge's view of the two clusters
	health      *health
}

// shared is the Env of Main, whose servers are looked after.
var shared *Env

// site adds what many small tables need: without MSLAB a family that is written to takes what it holds, and not 2 MiB.
func (o *Options) site(extra map[string]string) map[string]string {
	if o.Steady {
		return extra
	}
	site := map[string]string{"hbase.hregion.memstore.mslab.enabled": "false"}
	maps.Copy(site, extra)
	return site
}

// Start starts the servers side by side. When one does not start, none is left.
func Start(ctx context.Context, o Options) (*Env, error) {
	dir, err := servers.NewRunDir()
	if err != nil {
		return nil, err
	}
	e := &Env{Dir: dir}
	if o.HeapMB == 0 && !o.Steady {
		o.HeapMB = 1536 // hundreds of tables
	}
	flags := func(heapMB int) []string {
		switch {
		case !o.Steady:
			return servers.FastStart
		case heapMB == 0:
			return nil
		}
		return []string{fmt.Sprintf("-Xms%dm", heapMB)}
	}
	hbase := func(to **servers.HBase, name string, site map[string]string) func(context.Context) error {
		return func(ctx context.Context) (err error) {
			*to, err = servers.StartHBase(ctx, servers.HBaseOptions{Name: name, Dir: filepath.Join(dir, name),
				ExtraSite: o.site(site), HeapMB: o.HeapMB, JVMFlags: flags(o.HeapMB)})
			return err
		}
	}
	e.Judge, e.othersJudge = o.Judge, o.Judge != nil
	starts := []func(context.Context) error{
		func(ctx context.Context) error {
			if !o.HDFS {
				return hbase(&e.Source, "source", o.SourceSite)(ctx)
			}
			var err error
			if e.HDFS, err = servers.StartHDFS(ctx, servers.HDFSOptions{Dir: filepath.Join(dir, "hdfs"), JVMFlags: servers.FastStart}); err != nil {
				return err
			}
			site := e.HDFS.Site()
			maps.Copy(site, o.SourceSite)
			if err := hbase(&e.Source, "source", site)(ctx); err != nil {
				return err
			}
			_, err = e.Source.AddRegionServer(ctx)
			return err
		},
		func(ctx context.Context) (err error) {
			if e.othersJudge {
				return nil
			}
			e.Judge, err = judge.Start(ctx, judge.Options{Dir: filepath.Join(dir, "judge"), JVMFlags: flags(0)})
			return err
		},
	}
	if o.Destination {
		starts = append(starts, hbase(&e.Destination, "destination", o.DestinationSite))
	}
	if o.Kafka {
		starts = append(starts, func(ctx context.Context) (err error) {
			e.Kafka, err = servers.StartKafka(ctx, servers.KafkaOptions{Dir: filepath.Join(dir, "kafka"),
				Extra: o.KafkaProperties, HeapMB: o.KafkaHeapMB, JVMFlags: flags(o.KafkaHeapMB)})
			return err
		})
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := servers.All(ctx, starts...); err != nil {
		return nil, errors.Join(err, e.Close(context.WithoutCancel(ctx), true))
	}
	e.Src = e.cluster(e.Source)
	watched := []patient{e.Source}
	if o.Destination {
		e.Dst = e.cluster(e.Destination)
		watched = append(watched, e.Destination)
	}
	if o.Kafka {
		watched = append(watched, e.Kafka)
	}
	e.health = watchServers(watched...)
	return e, nil
}

// cluster is the judge's view of an HBase, whose peers it changes only while no waltap changes any.
func (e *Env) cluster(h *servers.HBase) *judge.Cluster {
	c := e.Judge.Cluster(h.ClusterKey())
	c.Alone = alone(h)
	return c
}

// alone runs what no waltap may do at the same time at an HBase.
func alone(h *servers.HBase) func(context.Context, func(context.Context) error) error {
	return func(ctx context.Context, change func(context.Context) error) error {
		a, err := admin.Open(ctx, admin.Config{Quorum: []string{h.ZKQuorum()}, Root: h.ZNodeParent()})
		if err != nil {
			return err
		}
		defer a.Close()
		return a.Alone(ctx, admin.PeerLock{Owner: fmt.Sprint("the judge, call ", lastName.Add(1)), SessionTimeout: time.Minute}, change)
	}
}

// Close ends the servers; that one of them broke by itself is an error. With keep it shuts them down, within ctx, and leaves the
// folder with data and logs; else it kills them and removes the folder.
func (e *Env) Close(ctx context.Context, keep bool) error {
	var faults error
	if e.health != nil {
		for _, fault := range e.health.close() {
			faults = errors.Join(faults, errors.New(fault))
		}
	}
	var ends []func(context.Context) error
	end := func(stop func(context.Context) error, kill func() error) {
		ends = append(ends, func(ctx context.Context) error {
			if keep {
				return stop(ctx)
			}
			return kill()
		})
	}
	for _, h := range []*servers.HBase{e.Source, e.Destination} {
		if h != nil {
			end(h.Stop, h.Kill)
		}
	}
	if e.Kafka != nil {
		end(e.Kafka.Stop, e.Kafka.Kill)
	}
	if e.HDFS != nil {
		end(e.HDFS.Stop, e.HDFS.Kill)
	}
	if k := e.secure.started(); k != nil {
		end(k.Stop, k.Kill)
	}
	ends = append(ends, e.old.ends(keep)...)
	if e.Judge != nil && !e.othersJudge {
		ends = append(ends, func(context.Context) error { return e.Judge.Close() })
	}
	err := errors.Join(faults, servers.All(ctx, ends...))
	if !keep {
		err = errors.Join(err, os.RemoveAll(e.Dir))
	}
	return err
}

// Main is the body of a package's TestMain: it starts the servers, sets *env, runs
// the tests and ends the servers. Servers that do not start fail the run, they never
// skip it. Data and logs are kept, and named, when a test fails.
func Main(m *testing.M, o Options, env **Env) int {
	start := time.Now()
	e, err := Start(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: start servers:", err)
		return 1
	}
	*env, shared = e, e
	fmt.Fprintf(os.Stderr, "waltap e2e: servers up in %.1fs, data and logs in %s\n", time.Since(start).Seconds(), e.Dir)
	code := m.Run()
	keep := code != 0 || os.Getenv("WALTAP_E2E_DIR") != "" || e.health.broke()
	if err := e.Close(context.Background(), keep); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: end servers:", err)
		code = 1
	}
	if keep {
		fmt.Fprintf(os.Stderr, "waltap e2e: data and logs are kept in %s\n", e.Dir)
	}
	return code
}

var lastName atomic.Int64

// Name returns a name made of the test's, unlike any other of this process, that is
// valid for tables, topics, groups and peers: a-z, 0-9 and _.
func Name(t testing.TB) string {
	t.Helper()
	enter(t)
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '_'
		}
	}, strings.TrimPrefix(t.Name(), "Test"))
	return fmt.Sprintf("%.40s_%d", name, lastName.Add(1))
}

// enter makes the test one of those that fail when a shared server breaks, and waits until all serve.
func enter(t testing.TB) {
	t.Helper()
	if shared != nil {
		shared.health.enter(t)
	}
}

// Patience is how many times longer than on a quiet machine a step of a test may take: CI's may be busy, or small. A limit ends a test
// that hangs; how fast something is, no test asserts.
const Patience = 4

// Context returns a context that ends after Patience times d, or with the test, or when a server of Main's breaks. One that is for
// a parallel test is made after its t.Parallel, which may wait for minutes.
func Context(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	if shared == nil {
		ctx, cancel := context.WithTimeout(t.Context(), Patience*d)
		t.Cleanup(cancel)
		return ctx
	}
	return shared.Context(t, d)
}

// Context returns a context that ends after Patience times d, or with the test, or when one of the servers breaks by itself; it waits
// until all serve. A test during which one breaks fails with the server's own words; those after it find it started again.
func (e *Env) Context(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	era := e.health.enter(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := context.AfterFunc(era, func() { cancel(context.Cause(era)) })
	ctx, end := context.WithTimeout(ctx, Patience*d)
	t.Cleanup(func() {
		end()
		stop()
		cancel(nil)
	})
	return ctx
}
