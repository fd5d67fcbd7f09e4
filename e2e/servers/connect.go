package servers

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// ConnectOptions describes a Kafka Connect worker.
type ConnectOptions struct {
	Name       string // for error texts
	Dir        string // its folder: conf, data, log; created
	Bootstrap  string // Kafka
	Connectors []map[string]string
	HeapMB     int // default 256
	JVMFlags   []string
	// Distributed is the group.id of a worker of a cluster, whose topics are named after it; Connectors must be empty then. "": a
	// standalone worker.
	Distributed string
}

// Connect is a worker of Kafka Connect 4.3.1 with the connectors that come with it. It is safe for concurrent use.
type Connect struct {
	*server
	port int
}

// URL is that of its REST API.
func (c *Connect) URL() string { return "http://127.0.0.1:" + strconv.Itoa(c.port) }

// StartConnect starts a worker and its connectors; it returns when they are created.
func StartConnect(ctx context.Context, o ConnectOptions) (*Connect, error) {
	lib, err := KafkaJars(ctx)
	if err != nil {
		return nil, err
	}
	last := ""
	if n := len(o.Connectors); n > 0 {
		last = o.Connectors[n-1]["name"]
	}
	ready, err := regexp.Compile(`Created connector ` + regexp.QuoteMeta(last))
	if o.Distributed != "" {
		ready, err = regexp.Compile(`REST resources initialized; server is started and ready to handle requests`)
	}
	if err != nil {
		return nil, err
	}
	s, err := newServer("Kafka Connect "+o.Name, o.Dir, ready)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	if err := s.writeConf("log4j2.properties", log4jConf()); err != nil {
		return nil, err
	}
	worker, main := map[string]string{
		"bootstrap.servers":        o.Bootstrap,
		"listeners":                "http://127.0.0.1:" + strconv.Itoa(port),
		"key.converter":            "org.apache.kafka.connect.converters.ByteArrayConverter",
		"value.converter":          "org.apache.kafka.connect.json.JsonConverter",
		"offset.flush.interval.ms": "500",
	}, "Standalone"
	if o.Distributed == "" {
		worker["offset.storage.file.filename"] = filepath.Join(s.dir, "data", "offsets")
	} else {
		main = "Distributed"
		worker["group.id"], worker["scheduled.rebalance.max.delay.ms"] = o.Distributed, "0"
		for _, kind := range []string{"config", "offset", "status"} {
			worker[kind+".storage.topic"], worker[kind+".storage.replication.factor"] = o.Distributed+"-"+kind, "1"
		}
		worker["offset.storage.partitions"], worker["status.storage.partitions"] = "1", "1"
	}
	if err := s.writeConf("worker.properties", javaProperties(worker)); err != nil {
		return nil, err
	}
	heap := o.HeapMB
	if heap == 0 {
		heap = 256
	}
	shared, err := kafkaClasses(ctx, o.JVMFlags)
	if err != nil {
		return nil, err
	}
	s.args = slices.Concat(s.jvmFlags(heap), o.JVMFlags, shared, []string{"-cp", lib + "/*", "org.apache.kafka.connect.cli.Connect" + main,
		filepath.Join(s.ConfDir(), "worker.properties")})
	for i, c := range o.Connectors {
		file := fmt.Sprintf("connector-%d.properties", i)
		if err := s.writeConf(file, javaProperties(c)); err != nil {
			return nil, err
		}
		s.args = append(s.args, filepath.Join(s.ConfDir(), file))
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return &Connect{server: s, port: port}, nil
}
