package servers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// RegionServer is a region server of an HBase, beyond the one in the HBase's own JVM, in a JVM of its own. It shares the
// HBase's ZooKeeper and root folder and keeps its port over a Restart. It is safe for concurrent use.
type RegionServer struct {
	*server
	port int
}

var (
	regionServerReady = regexp.MustCompile(`Serving as localhost,`)
	// regionServerClosed: its regions and its WAL are closed, its znode is deleted. The JVM lingers for seconds more.
	regionServerClosed = []*regexp.Regexp{regexp.MustCompile(`Exiting; stopping=localhost,`)}
)

// AddRegionServer starts one more region server and returns when it serves. It has no region yet. After a Kill the master
// notices its end when its ZooKeeper session ends, after sessionTimeout.
func (h *HBase) AddRegionServer(ctx context.Context) (*RegionServer, error) {
	h.addedMu.Lock()
	defer h.addedMu.Unlock()
	n := len(h.added) + 1
	s, err := newServer(fmt.Sprintf("%s, region server %d", h.name, n), filepath.Join(h.dir, fmt.Sprintf("regionserver-%d", n)), regionServerReady)
	if err != nil {
		return nil, err
	}
	s.closed = regionServerClosed
	r := &RegionServer{server: s}
	if r.port, err = FreePort(); err != nil {
		return nil, err
	}
	if err := s.writeConf("log4j2.properties", log4jConf("org.apache.zookeeper", "org.apache.hadoop.metrics2")); err != nil {
		return nil, err
	}
	site := maps.Clone(h.conf)
	maps.Copy(site, map[string]string{
		"hbase.cluster.distributed": "true", // a server of its own
		"hbase.tmp.dir":             filepath.Join(s.dir, "tmp"),
		"hbase.regionserver.port":   strconv.Itoa(r.port),
		"zookeeper.session.timeout": strconv.Itoa(sessionTimeout),
	})
	if err := s.writeConf("hbase-site.xml", hadoopXML(site)); err != nil {
		return nil, err
	}
	s.args = slices.Concat(s.jvmFlags(regionServerHeapMB), HBaseJVMFlags(), h.jvm,
		[]string{"-cp", h.lib + "/*:" + s.ConfDir(), "org.apache.hadoop.hbase.regionserver.HRegionServer", "start"})
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	h.added = append(h.added, r)
	return r, nil
}

const (
	regionServerHeapMB = 384
	// sessionTimeout of an added region server, ms. Its ZooKeeper allows 4000 or more; too short a one ends a server that only
	// got no CPU for a while.
	sessionTimeout = 10_000
)

// Port is the port it serves at, under the host name localhost.
func (r *RegionServer) Port() int { return r.port }

// Stop shuts down the region servers that were added, then the HBase; see server.Stop.
func (h *HBase) Stop(ctx context.Context) error {
	return errors.Join(h.endAdded(func(r *RegionServer) error { return r.Stop(ctx) }), h.server.Stop(ctx))
}

// Kill ends the HBase and the region servers that were added with SIGKILL.
func (h *HBase) Kill() error {
	return errors.Join(h.endAdded(func(r *RegionServer) error { return r.Kill() }), h.server.Kill())
}

func (h *HBase) endAdded(end func(*RegionServer) error) error {
	h.addedMu.Lock()
	defer h.addedMu.Unlock()
	var errs []error
	for _, r := range h.added {
		errs = append(errs, end(r))
	}
	return errors.Join(errs...)
}
