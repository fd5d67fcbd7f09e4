package servers

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
)

// HBaseOptions describes one standalone HBase.
type HBaseOptions struct {
	Name      string            // for error texts, e.g. "source"
	Dir       string            // its folder: conf, data, log; created
	ExtraSite map[string]string // added to hbase-site.xml, or replacing what is there
	HeapMB    int               // default 1024
	JVMFlags  []string          // added to the JVM's
	Version   string            // HBase1, or "" for 2.6.4
}

// HBase1 is the HBase 1.x that can be run: the oldest release line that waltap captures from.
const HBase1 = "1.4.14"

// HBase is a standalone HBase, 2.6.4 unless it was started as another one: master, one region server and ZooKeeper in one
// JVM (AddRegionServer adds others). All ports stay over restarts: only at its old address does a master (or region
// server) that was killed replace its own stale znode at once; elsewhere it waits for
// the old session to expire. It is safe for concurrent use.
type HBase struct {
	*server
	zkPort, masterPort, regionServerPort int
	conf                                 map[string]string // hbase-site.xml
	jvm                                  []string
	lib                                  string // the folder with its jars

	addedMu sync.Mutex
	added   []*RegionServer
}

var hbaseReady = regexp.MustCompile(`Master has completed initialization`)

// hbaseClosed: the region server has closed its regions and its WAL, the master and
// ZooKeeper are down. HBase runs its shutdown hooks in random order; when ZooKeeper
// happens to go first, the region server then tries for half a minute to delete its
// znode there.
var hbaseClosed = []*regexp.Regexp{
	regexp.MustCompile(`\[RS:\d+;.*NettyRpcServer: Stopping server`),
	regexp.MustCompile(`Shutdown MiniZK cluster`),
}

// StartHBase starts a standalone HBase and returns when its region server is live.
func StartHBase(ctx context.Context, o HBaseOptions) (*HBase, error) {
	if o.Version != "" {
		return startHBase(ctx, o, nil)
	}
	shared, err := HBaseClasses(ctx, o.JVMFlags)
	if err != nil {
		return nil, err
	}
	return startHBase(ctx, o, shared)
}

// startHBase starts one that takes its classes from where the flags of shared say.
func startHBase(ctx context.Context, o HBaseOptions, shared []string) (*HBase, error) {
	lib, err := hbaseJars(ctx, o.Version)
	if err != nil {
		return nil, err
	}
	s, err := newServer("HBase "+o.Name, o.Dir, hbaseReady)
	if err != nil {
		return nil, err
	}
	if o.Version == "" { // 1.x logs other lines, and ends by itself
		s.closed = hbaseClosed
	}
	h := &HBase{server: s, jvm: slices.Concat(o.JVMFlags, shared), lib: lib}
	for _, p := range []*int{&h.zkPort, &h.masterPort, &h.regionServerPort} {
		if *p, err = FreePort(); err != nil {
			return nil, err
		}
	}
	// Region servers that were added report their end to this one's log, too.
	s.broken = regexp.MustCompile(fmt.Sprintf(`ABORTING (master |region server localhost,%d,)`, h.regionServerPort))
	if err := s.writeConf("log4j2.properties", log4jConf("org.apache.zookeeper", "org.apache.hadoop.metrics2")); err != nil {
		return nil, err
	}
	h.conf = h.site()
	if fast(o.JVMFlags) { // its metrics, of which no test reads those, took a tenth of its CPU time
		h.conf["hbase.regionserver.metrics.period"] = "60000"
		h.conf["hbase.regionserver.enable.table.latencies"] = "false"
	}
	if o.Version == HBase1 {
		h.conf["hbase.localcluster.port.ephemeral"] = "false" // it would take any ports
		// Else what is synced to a WAL stays in a buffer, and so does the begin of a new one: replication of 1.x has lost the
		// edits of a whole WAL that was rolled.
		h.conf["fs.file.impl"] = "org.apache.hadoop.fs.RawLocalFileSystem"
	}
	maps.Copy(h.conf, o.ExtraSite)
	if err := s.writeConf("hbase-site.xml", hadoopXML(h.conf)); err != nil {
		return nil, err
	}
	heap := o.HeapMB
	if heap == 0 {
		heap = 1024
	}
	s.args = slices.Concat(s.jvmFlags(heap), HBaseJVMFlags(), h.jvm,
		[]string{"-cp", lib + "/*:" + s.ConfDir(), "org.apache.hadoop.hbase.master.HMaster", "start"})
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// site is the configuration: everything on the loopback, and the waits of a start
// cut short (7 s instead of 18 s).
func (h *HBase) site() map[string]string {
	data := filepath.Join(h.dir, "data")
	return map[string]string{
		"hbase.cluster.distributed":                    "false",
		"hbase.rootdir":                                "file://" + h.RootDir(),
		"hbase.tmp.dir":                                filepath.Join(h.dir, "tmp"),
		"hbase.zookeeper.property.dataDir":             filepath.Join(data, "zk"),
		"hbase.zookeeper.property.clientPort":          strconv.Itoa(h.zkPort),
		"hbase.zookeeper.quorum":                       "127.0.0.1",
		"hbase.unsafe.stream.capability.enforce":       "false",
		"hbase.wal.provider":                           "filesystem",
		"hbase.localcluster.assign.random.ports":       "true",
		"hbase.master.port":                            strconv.Itoa(h.masterPort),
		"hbase.master.info.port":                       "-1",
		"hbase.regionserver.port":                      strconv.Itoa(h.regionServerPort),
		"hbase.regionserver.info.port":                 "-1",
		"hbase.master.ipc.address":                     "127.0.0.1",
		"hbase.regionserver.ipc.address":               "127.0.0.1",
		"hbase.master.hostname":                        "localhost",
		"hbase.regionserver.hostname":                  "localhost",
		"hbase.regionserver.handler.count":             "10",
		"hbase.balancer.period":                        "86400000", // a test moves regions where it wants some moved
		"replication.source.sleepforretries":           "500",
		"replication.sleep.before.failover":            "500",
		"hbase.regionserver.msginterval":               "1000", // each names every region
		"hbase.master.wait.on.regionservers.timeout":   "1000",
		"hbase.master.wait.on.regionservers.interval":  "100",
		"hbase.master.start.timeout.localHBaseCluster": "120000",
		"zookeeper.session.timeout":                    "40000",
		"zookeeper.session.timeout.localHBaseCluster":  "40000", // what counts in one JVM
	}
}

// RootDir is the folder of hbase.rootdir.
func (h *HBase) RootDir() string { return filepath.Join(h.dir, "data", "hbase") }

// ZKQuorum is the ZooKeeper address, "127.0.0.1:PORT".
func (h *HBase) ZKQuorum() string { return "127.0.0.1:" + strconv.Itoa(h.zkPort) }

// ZKPort is the port of ZKQuorum.
func (h *HBase) ZKPort() int { return h.zkPort }

// RegionServerPort is the port of the region server in its own JVM, whose host name is
// localhost.
func (h *HBase) RegionServerPort() int { return h.regionServerPort }

// ZNodeParent is the root znode.
func (h *HBase) ZNodeParent() string { return "/hbase" }

// ClusterKey is the cluster's address as HBase writes it, "quorum:port:znode".
func (h *HBase) ClusterKey() string { return h.ZKQuorum() + ":" + h.ZNodeParent() }

// hadoopXML writes a Hadoop configuration file, sorted by name.
func hadoopXML(conf map[string]string) []byte {
	var b bytes.Buffer
	b.WriteString("<?xml version=\"1.0\"?>\n<configuration>\n")
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		b.WriteString("  <property><name>")
		xml.EscapeText(&b, []byte(name)) // a bytes.Buffer never fails
		b.WriteString("</name><value>")
		xml.EscapeText(&b, []byte(conf[name]))
		b.WriteString("</value></property>\n")
	}
	b.WriteString("</configuration>\n")
	return b.Bytes()
}

// log4jConf logs INFO to standard error, the quiet loggers from WARN on.
func log4jConf(quiet ...string) []byte {
	var b bytes.Buffer
	b.WriteString(`status = error
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p [%t] %c{2}: %m%n
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
`)
	for i, name := range quiet {
		fmt.Fprintf(&b, "logger.q%d.name = %s\nlogger.q%d.level = WARN\n", i, name, i)
	}
	return b.Bytes()
}
