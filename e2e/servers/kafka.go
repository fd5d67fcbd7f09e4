package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// KafkaOptions describes one broker.
type KafkaOptions struct {
	Name     string            // for error texts
	Dir      string            // its folder: conf, data, log; created
	Extra    map[string]string // added to server.properties, or replacing what is there
	HeapMB   int               // default 512
	JVMFlags []string          // added to the JVM's
	Security *KafkaSecurity    // nil: neither users nor rights
}

// Kafka is a Kafka 4.3.1 broker and KRaft controller in one JVM. It creates no topic
// by itself. It is safe for concurrent use.
type Kafka struct {
	*server
	port, controllerPort int
	secure               *secureKafka // nil: see KafkaOptions.Security
}

var kafkaReady = regexp.MustCompile(`Kafka Server started`)

// StartKafka formats a new log folder, starts a broker and returns when it serves.
func StartKafka(ctx context.Context, o KafkaOptions) (*Kafka, error) {
	shared, err := kafkaClasses(ctx, o.JVMFlags)
	if err != nil {
		return nil, err
	}
	return startKafka(ctx, o, shared)
}

// startKafka starts one that takes its classes from where the flags of shared say.
func startKafka(ctx context.Context, o KafkaOptions, shared []string) (*Kafka, error) {
	lib, err := KafkaJars(ctx)
	if err != nil {
		return nil, err
	}
	s, err := newServer("Kafka "+o.Name, o.Dir, kafkaReady)
	if err != nil {
		return nil, err
	}
	k := &Kafka{server: s}
	for _, p := range []*int{&k.port, &k.controllerPort} {
		if *p, err = FreePort(); err != nil {
			return nil, err
		}
	}
	logs := log4jConf()
	props := k.properties()
	var formatFlags []string
	if o.Security != nil {
		if k.secure, err = newSecureKafka(s.ConfDir(), *o.Security); err != nil {
			return nil, err
		}
		maps.Copy(props, k.secure.properties(props))
		logs = append(logs, authorizerLog...)
		formatFlags = k.secure.formatFlags()
	}
	if err := s.writeConf("log4j2.properties", logs); err != nil {
		return nil, err
	}
	maps.Copy(props, o.Extra)
	if err := s.writeConf("server.properties", javaProperties(props)); err != nil {
		return nil, err
	}
	heap := o.HeapMB
	if heap == 0 {
		heap = 512
	}
	java := slices.Concat(s.jvmFlags(heap), o.JVMFlags, shared, []string{"-cp", lib + "/*"})
	if err := k.format(ctx, java, formatFlags); err != nil {
		return nil, err
	}
	s.args = append(java, "kafka.Kafka", filepath.Join(s.ConfDir(), "server.properties"))
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// format writes the log folder's meta.properties, as KRaft wants before the first
// start.
func (k *Kafka) format(ctx context.Context, java, flags []string) error {
	args := append(slices.Clone(java), "kafka.tools.StorageTool", "format", "--ignore-formatted",
		"--cluster-id", "d2FsdGFwLWUyZS1jbHVzdA", "--config", filepath.Join(k.ConfDir(), "server.properties"))
	args = append(args, flags...)
	p, err := StartProcess(ProcessSpec{Name: k.name + " (format)", Path: k.java, Args: args, Dir: k.dir, LogPath: k.LogPath()})
	if err != nil {
		return err
	}
	code, err := p.Wait(ctx)
	if err != nil {
		return errors.Join(err, p.Kill())
	}
	if code != 0 {
		return p.logError(fmt.Errorf("format log folder: exit code %d", code))
	}
	return nil
}

// properties is the configuration: one node that is broker and controller, every
// internal topic with one replica.
func (k *Kafka) properties() map[string]string {
	broker := k.Bootstrap()
	controller := "127.0.0.1:" + strconv.Itoa(k.controllerPort)
	return map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          "1",
		"controller.quorum.voters":                         "1@" + controller,
		"listeners":                                        "PLAINTEXT://" + broker + ",CONTROLLER://" + controller,
		"advertised.listeners":                             "PLAINTEXT://" + broker,
		"controller.listener.names":                        "CONTROLLER",
		"inter.broker.listener.name":                       "PLAINTEXT",
		"listener.security.protocol.map":                   "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                                         filepath.Join(k.dir, "data"),
		"num.partitions":                                   "1",
		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     "5",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             "5",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"group.initial.rebalance.delay.ms":                 "0",
		// A killed broker may come back when its session has ended: 9 s by default.
		"broker.session.timeout.ms":    "3000",
		"broker.heartbeat.interval.ms": "500",
		"auto.create.topics.enable":    "false",
	}
}

// Bootstrap is the broker's address, "127.0.0.1:PORT"; it stays over restarts.
func (k *Kafka) Bootstrap() string { return "127.0.0.1:" + strconv.Itoa(k.port) }

// javaProperties writes a .properties file, sorted by name.
func javaProperties(props map[string]string) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(props)) {
		fmt.Fprintf(&b, "%s=%s\n", name, props[name])
	}
	return b.Bytes()
}
