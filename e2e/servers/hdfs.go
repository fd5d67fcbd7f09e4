package servers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// HDFSOptions describes one HDFS.
type HDFSOptions struct {
	Dir      string            // its folder; created
	JVMFlags []string          // added to the JVMs'
	Core     map[string]string // added to core-site.xml
	Site     map[string]string // added to hdfs-site.xml
}

// HDFS is a name node and a data node, each in a JVM of its own, of Hadoop 3.4.2. Their superuser is who runs them. All ports
// stay over restarts. It is safe for concurrent use.
type HDFS struct {
	Name, Data *Node
	port       int
	keys       string // file
}

// Node is a server of HDFS.
type Node struct{ *server }

const (
	nameNodeClass = "org.apache.hadoop.hdfs.server.namenode.NameNode"
	dataNodeClass = "org.apache.hadoop.hdfs.server.datanode.DataNode"
	hdfsHeapMB    = 256
)

var (
	nameNodeReady = regexp.MustCompile(`NameNode RPC up at`)
	dataNodeReady = regexp.MustCompile(`Successfully sent block report`)
)

// StartHDFS formats and starts an HDFS, and returns when its data node has reported.
func StartHDFS(ctx context.Context, o HDFSOptions) (*HDFS, error) {
	ports := make([]string, 5)
	for i := range ports {
		p, err := FreePort()
		if err != nil {
			return nil, err
		}
		ports[i] = strconv.Itoa(p)
	}
	port, err := strconv.Atoi(ports[0])
	if err != nil {
		return nil, err
	}
	made, err := madeHDFS(ctx)
	if err != nil {
		return nil, err
	}
	h := &HDFS{port: port, keys: filepath.Join(o.Dir, keyFile)}
	local := func(i int) string { return "127.0.0.1:" + ports[i] }
	core := map[string]string{"fs.defaultFS": h.URL(), "hadoop.tmp.dir": filepath.Join(o.Dir, "tmp"), keyProvider: h.Keys()}
	site := map[string]string{
		"dfs.namenode.rpc-address":        local(0),
		"dfs.namenode.http-address":       local(1),
		"dfs.datanode.address":            local(2),
		"dfs.datanode.http.address":       local(3),
		"dfs.datanode.ipc.address":        local(4),
		"dfs.namenode.name.dir":           filepath.Join(o.Dir, nameDir),
		"dfs.datanode.data.dir":           filepath.Join(o.Dir, "blocks"),
		"dfs.replication":                 "1",
		"dfs.namenode.replication.min":    "1",
		"dfs.namenode.safemode.extension": "0",
		// WALs are rolled, not repaired, when the only data node is slow.
		"dfs.client.block.write.replace-datanode-on-failure.policy": "NEVER",
	}
	maps.Copy(core, o.Core)
	maps.Copy(site, o.Site)
	if h.Name, err = newNode("HDFS name node", filepath.Join(o.Dir, "namenode"), nameNodeClass, nameNodeReady, core, site, o.JVMFlags); err != nil {
		return nil, err
	}
	if h.Data, err = newNode("HDFS data node", filepath.Join(o.Dir, "datanode"), dataNodeClass, dataNodeReady, core, site, o.JVMFlags); err != nil {
		return nil, err
	}
	if err := os.CopyFS(o.Dir, os.DirFS(made)); err != nil {
		return nil, fmt.Errorf("start HDFS: %w", err)
	}
	if err := All(ctx, h.Name.start, h.Data.start); err != nil {
		for _, n := range []*Node{h.Data, h.Name} {
			if n.process() != nil {
				err = errors.Join(err, n.Kill())
			}
		}
		return nil, err
	}
	return h, nil
}

const (
	keyProvider = "hadoop.security.key.provider.path"
	keyFile     = "keys.jceks"
	nameDir     = "name"
)

// EncryptionKey is the name of a key that every HDFS knows.
const EncryptionKey = "k1"

// madeHDFS is a folder with what every HDFS begins with, made once: the formatted folder of its name node, and a key store, which a name
// node reads when it starts.
func madeHDFS(ctx context.Context) (string, error) {
	return Cached(ctx, "hdfs-begin-1", func(ctx context.Context, dir string) error {
		work, err := os.MkdirTemp("", "waltap-hdfs-")
		if err != nil {
			return fmt.Errorf("format an HDFS: %w", err)
		}
		defer os.RemoveAll(work)
		keys := keyURL(filepath.Join(dir, keyFile))
		n, err := newNode("HDFS format", work, nameNodeClass, nameNodeReady, map[string]string{"fs.defaultFS": "hdfs://127.0.0.1:1", keyProvider: keys},
			map[string]string{"dfs.namenode.name.dir": filepath.Join(dir, nameDir)}, nil)
		if err != nil {
			return err
		}
		if err := n.run(ctx, nameNodeClass, "-format", "-nonInteractive"); err != nil {
			return err
		}
		return n.run(ctx, "org.apache.hadoop.crypto.key.KeyShell", "create", EncryptionKey, "-size", "128")
	})
}

func keyURL(file string) string { return "jceks://file" + file }

// Keys is the URL of the provider that has EncryptionKey.
func (h *HDFS) Keys() string { return keyURL(h.keys) }

// newNode writes a node's configuration.
func newNode(name, dir, class string, ready *regexp.Regexp, core, site map[string]string, flags []string) (*Node, error) {
	lib, err := jars(context.Background(), "hbase", copyJars)
	if err != nil {
		return nil, err
	}
	s, err := newServer(name, dir, ready)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"core-site.xml": hadoopXML(core), "hdfs-site.xml": hadoopXML(site), "log4j2.properties": log4jConf("org.apache.hadoop.metrics2", "BlockStateChange")}
	for file, content := range files {
		if err := s.writeConf(file, content); err != nil {
			return nil, err
		}
	}
	// The jars have no pages; without these folders a node does not start.
	for _, app := range []string{"hdfs", "datanode", "static", "secondary"} {
		if err := os.MkdirAll(filepath.Join(s.ConfDir(), "webapps", app), 0o755); err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
	}
	shared, err := HBaseClasses(context.Background(), flags)
	if err != nil {
		return nil, err
	}
	s.args = slices.Concat(s.jvmFlags(hdfsHeapMB), HBaseJVMFlags(), flags, shared, []string{"-cp", lib + "/*:" + s.ConfDir(), class})
	return &Node{s}, nil
}

// run runs a program of Hadoop's with the node's configuration, to its end.
func (n *Node) run(ctx context.Context, class string, args ...string) error {
	java := slices.Clone(n.args[:len(n.args)-1])
	p, err := StartProcess(ProcessSpec{Name: n.name + " (" + class + ")", Path: n.java, Args: slices.Concat(java, []string{class}, args), Dir: n.dir, LogPath: filepath.Join(n.dir, "tools.log")})
	if err != nil {
		return err
	}
	code, err := p.Wait(ctx)
	if err != nil {
		return errors.Join(err, p.Kill())
	}
	if code != 0 {
		return p.logError(fmt.Errorf("run %s %v: exit code %d", class, args, code))
	}
	return nil
}

// URL is "hdfs://127.0.0.1:PORT".
func (h *HDFS) URL() string { return "hdfs://" + h.Addr() }

// Addr is the name node's address.
func (h *HDFS) Addr() string { return "127.0.0.1:" + strconv.Itoa(h.port) }

// Site is what an HBase needs to keep its data here, below /hbase.
func (h *HDFS) Site() map[string]string {
	return map[string]string{
		"hbase.rootdir":                          h.URL() + "/hbase",
		"fs.defaultFS":                           h.URL(),
		"dfs.replication":                        "1",
		"hbase.wal.provider":                     "asyncfs",
		"hbase.unsafe.stream.capability.enforce": "true",
		"dfs.client.block.write.replace-datanode-on-failure.policy": "NEVER",
	}
}

// Kill ends both nodes.
func (h *HDFS) Kill() error { return errors.Join(h.Data.Kill(), h.Name.Kill()) }

// Stop shuts both nodes down.
func (h *HDFS) Stop(ctx context.Context) error {
	return errors.Join(h.Data.Stop(ctx), h.Name.Stop(ctx))
}
