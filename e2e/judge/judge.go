// Package judge drives HBase clusters and compares them with HBase's own Java
// client, so that the verdict of a test does not rest on the code under test.
//
// One JVM serves all calls of a test run; calls may be made side by side.
package judge

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/waltap/waltap/e2e/servers"
)

//go:embed java/*.java java/old/*.java
var sources embed.FS

const log4jConf = `status = error
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p [%t] %c{2}: %.2000m%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
`

// Options says where the judge keeps its log and temporary files.
type Options struct {
	Dir      string   // created
	HeapMB   int      // default 512
	JVMFlags []string // added to the JVM's
}

// Judge is the running JVM. It is safe for concurrent use.
type Judge struct {
	proc  *servers.Process
	stdin *os.File

	mu      sync.Mutex // guards what follows, and writes to stdin
	lastID  int64
	waiting map[int64]chan answer
	ended   error // set once no answer can come any more
}

type answer struct {
	ID     int64           `json:"call"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
}

// Start compiles the Java part when the cache does not have it and starts it.
func Start(ctx context.Context, o Options) (*Judge, error) {
	jars, err := servers.HBaseJars(ctx)
	if err != nil {
		return nil, err
	}
	classes, err := servers.CompileJava(ctx, "judge", sources, jars)
	if err != nil {
		return nil, err
	}
	shared, err := servers.HBaseClasses(ctx, o.JVMFlags)
	if err != nil {
		return nil, err
	}
	o.JVMFlags = slices.Concat(o.JVMFlags, shared)
	return run(ctx, o, jars, classes, "Judge")
}

// StartOld starts the judge's part for the administration of HBase 1.x, which uses the client of servers.HBase1. It is
// for OldCluster.
func StartOld(ctx context.Context, o Options) (*Judge, error) {
	jars, err := servers.HBase1Jars(ctx)
	if err != nil {
		return nil, err
	}
	classes, err := servers.CompileJava(ctx, "old-judge", sources, jars, "java/old/OldJudge.java", "java/Request.java")
	if err != nil {
		return nil, err
	}
	return run(ctx, o, jars, classes, "OldJudge")
}

func run(ctx context.Context, o Options, jars, classes, class string) (*Judge, error) {
	java, err := servers.Java()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("start judge: %w", err)
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return nil, fmt.Errorf("start judge: %w", err)
	}
	logConf := filepath.Join(dir, "log4j2.properties")
	if err := os.WriteFile(logConf, []byte(log4jConf), 0o644); err != nil {
		return nil, fmt.Errorf("start judge: %w", err)
	}
	heap := o.HeapMB
	if heap == 0 {
		heap = 512
	}
	args := slices.Concat([]string{fmt.Sprintf("-Xmx%dm", heap), "-XX:+UseSerialGC", "-XX:-UsePerfData",
		"-Djava.io.tmpdir=" + tmp, "-Dlog4j2.configurationFile=" + logConf}, servers.HBaseJVMFlags(), o.JVMFlags)
	args = append(args, "-cp", jars+"/*:"+classes, class)
	j := &Judge{waiting: make(map[int64]chan answer)}
	if err := j.start(java, args, dir); err != nil {
		return nil, err
	}
	if err := j.call(ctx, "ping", nil, nil); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

func (j *Judge) start(java string, args []string, dir string) error {
	childIn, stdin, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start judge: %w", err)
	}
	defer childIn.Close()
	stdout, childOut, err := os.Pipe()
	if err != nil {
		stdin.Close()
		return fmt.Errorf("start judge: %w", err)
	}
	defer childOut.Close()
	j.proc, err = servers.StartProcess(servers.ProcessSpec{Name: "judge", Path: java, Args: args, Dir: dir,
		LogPath: filepath.Join(dir, "judge.log"), Stdin: childIn, Stdout: childOut})
	if err != nil {
		stdin.Close()
		stdout.Close()
		return err
	}
	j.stdin = stdin
	go j.receive(stdout)
	return nil
}

// LogPath is the judge's log.
func (j *Judge) LogPath() string { return j.proc.LogPath() }

// Close ends the JVM; calls in hand fail.
func (j *Judge) Close() error {
	j.mu.Lock()
	closeErr := j.stdin.Close()
	j.mu.Unlock()
	if errors.Is(closeErr, os.ErrClosed) {
		closeErr = nil
	}
	return errors.Join(closeErr, j.proc.Kill())
}

// receive hands the answers to those who wait for them, until the JVM ends.
func (j *Judge) receive(stdout *os.File) {
	defer stdout.Close()
	lines := bufio.NewReader(stdout)
	var err error
	for {
		var line []byte
		if line, err = lines.ReadBytes('\n'); err != nil {
			break
		}
		var a answer
		if err = json.Unmarshal(line, &a); err != nil {
			err = fmt.Errorf("not an answer: %q: %w", bytes.TrimSpace(line), err)
			break
		}
		j.mu.Lock()
		to := j.waiting[a.ID]
		delete(j.waiting, a.ID)
		j.mu.Unlock()
		if to != nil {
			to <- a // has room
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = fmt.Errorf("judge has ended (%w); %s", err, servers.LogTail(j.proc.LogPath()))
	for id, to := range j.waiting {
		delete(j.waiting, id)
		close(to)
	}
}

type fields map[string]any

// call sends a command and decodes its result into result, unless that is nil. When
// ctx ends first the command runs on in the JVM.
func (j *Judge) call(ctx context.Context, cmd string, request fields, result any) error {
	to := make(chan answer, 1)
	if err := j.send(cmd, request, to); err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", cmd, context.Cause(ctx))
	case a, ok := <-to:
		if !ok {
			j.mu.Lock()
			defer j.mu.Unlock()
			return fmt.Errorf("%s: %w", cmd, j.ended)
		}
		if a.Error != "" {
			return &Error{Command: cmd, Message: a.Error}
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(a.Result, result); err != nil {
			return fmt.Errorf("%s: decode result: %w", cmd, err)
		}
		return nil
	}
}

func (j *Judge) send(cmd string, request fields, to chan answer) error {
	line := fields{"cmd": cmd}
	for k, v := range request {
		line[k] = v
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended != nil {
		return j.ended
	}
	j.lastID++
	line["call"] = j.lastID
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	if _, err := j.stdin.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	j.waiting[j.lastID] = to
	return nil
}

// Error is what HBase's client threw.
type Error struct {
	Command string
	Message string // the exception's class and message; the stack trace is in the log
}

func (e *Error) Error() string { return e.Command + ": " + e.Message }

// Cluster is one HBase cluster as seen by the judge.
type Cluster struct {
	judge *Judge
	old   *Judge // does all but readsAndWrites; nil: judge does all
	key   string
	// Alone, when set, runs what rolls WALs, adds or changes peers or, of 1.x, lists them, so that it does not happen while waltap does either: HBase
	// does not stand that (see admin.Cluster.Alone).
	Alone func(ctx context.Context, change func(context.Context) error) error
}

// Cluster returns the cluster with the key "quorum:port:znode"; nothing is
// connected before the first call.
func (j *Judge) Cluster(key string) *Cluster { return &Cluster{judge: j, key: key} }

// OldCluster returns a cluster of HBase 1.x: j reads and writes, and old, of StartOld, does what needs the client of 1.x.
func (j *Judge) OldCluster(old *Judge, key string) *Cluster {
	return &Cluster{judge: j, old: old, key: key}
}

// readsAndWrites are the commands that the client of 2.x can do with servers of 1.x.
var readsAndWrites = map[string]bool{
	"checksum": true, "diff": true, "cells": true, "count_rows": true, "read_row": true, "regions": true, "verify_replication": true,
	"write": true, "load": true, "mutator_start": true, "mutator_stats": true, "mutator_stop": true, "history_start": true, "history_stop": true,
}

// Key is the cluster's key, "quorum:port:znode".
func (c *Cluster) Key() string { return c.key }

// callAlone is callWith for what changes peers.
func (c *Cluster) callAlone(ctx context.Context, cmd, table string, spec any) error {
	change := func(ctx context.Context) error { return c.callWith(ctx, cmd, table, spec, nil) }
	if c.Alone == nil {
		return change(ctx)
	}
	return c.Alone(ctx, change)
}

func (c *Cluster) call(ctx context.Context, cmd string, request fields, result any) error {
	all := fields{"cluster": c.key}
	for k, v := range request {
		all[k] = v
	}
	if c.old != nil && !readsAndWrites[cmd] {
		return c.old.call(ctx, cmd, all, result)
	}
	return c.judge.call(ctx, cmd, all, result)
}
