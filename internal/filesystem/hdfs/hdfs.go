// Package hdfs reads files from HDFS, over the client protocol of its name nodes and data nodes.
package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/colinmarc/hdfs/v2"

	"github.com/waltap/waltap/internal/filesystem"
)

// Config says where HDFS is.
type Config struct {
	NameNodes []string // host:port; all of an HA pair
	User      string   // as whom to read: hbase.rootdir is its owner's
	// Timeout bounds each answer of a name node or data node; default 30 s.
	Timeout time.Duration
	// Hostnames reaches data nodes by their host names, not by the addresses that the name node has of them
	// (dfs.client.use.datanode.hostname).
	Hostnames bool
}

const (
	defaultTimeout = 30 * time.Second
	// attempts of a call, which all only read. The client of this package leaves a name node alone for 5 s after an error.
	attempts   = 4
	retryPause = 2 * time.Second
)

// FS is an HDFS.
type FS struct {
	client *hdfs.Client
	pause  time.Duration
}

var _ filesystem.FS = (*FS)(nil)

// Dial connects to the active name node.
func Dial(cfg Config) (*FS, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	dial := dialer(cfg.Timeout)
	client, err := hdfs.NewClient(hdfs.ClientOptions{Addresses: slices.Clone(cfg.NameNodes), User: cfg.User, UseDatanodeHostname: cfg.Hostnames, NamenodeDialFunc: dial, DatanodeDialFunc: dial})
	if err != nil {
		return nil, fmt.Errorf("connect to HDFS, name nodes %s: %w", strings.Join(cfg.NameNodes, ","), err)
	}
	f := &FS{client: client, pause: retryPause}
	// The handshake says nothing: a name node that is on standby, or wants Kerberos, says so only when it is asked.
	if _, err := f.Stat("/"); err != nil {
		client.Close()
		return nil, fmt.Errorf("connect to HDFS, name nodes %s: %w", strings.Join(cfg.NameNodes, ","), err)
	}
	return f, nil
}

// Open opens the file system of a location: HDFS, read as user, or this machine's.
func Open(l filesystem.Location, user string, timeout time.Duration) (filesystem.FS, error) {
	if len(l.NameNodes) == 0 {
		return filesystem.Local{}, nil
	}
	f, err := Dial(Config{NameNodes: l.NameNodes, User: user, Timeout: timeout})
	if err != nil {
		return nil, err // not f: a nil *FS would be an FS that is not nil
	}
	return f, nil
}

// dialer makes connections on which no single read or write waits for longer than timeout.
func dialer(timeout time.Duration) func(context.Context, string, string) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, KeepAlive: timeout}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c, timeout: timeout}, nil
	}
}

// conn bounds each read and write: the client has no timeouts of its own. One that fails is closed: the client would wait for the same
// name node for ever, and take an answer that comes late for that to its next question. A connection on which it cannot ask it leaves for
// the next name node.
type conn struct {
	net.Conn
	timeout time.Duration
}

func (c *conn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if err != nil {
		c.Conn.Close()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Close ends the connections.
func (f *FS) Close() error { return f.client.Close() }

// Stat describes a name.
func (f *FS) Stat(name string) (filesystem.Info, error) {
	var st os.FileInfo
	err := f.retry(func() (err error) {
		st, err = f.client.Stat(name)
		return err
	})
	if err != nil {
		return filesystem.Info{}, err
	}
	return info(st), refuse(name, st)
}

func info(st os.FileInfo) filesystem.Info {
	return filesystem.Info{Name: st.Name(), Size: st.Size(), Dir: st.IsDir()}
}

// Bits of a file status: HdfsFileStatusProto.Flags, and before Hadoop 3.1 of the permission (FsPermissionExtension).
const (
	flagEncrypted, permEncrypted = 0x02, 1 << 13
	flagErasure, permErasure     = 0x04, 1 << 14
)

// refuse is an error for what the client would read wrong without a word: it does not decrypt what lies in an encryption
// zone, and of an erasure-coded file it reads one stripe.
func refuse(name string, st os.FileInfo) error {
	s, ok := st.Sys().(*hdfs.FileStatus)
	if !ok {
		return fmt.Errorf("read the status of %s: unexpected %T", name, st.Sys())
	}
	perm := s.GetPermission().GetPerm()
	switch {
	case s.GetFileEncryptionInfo() != nil || s.GetFlags()&flagEncrypted != 0 || perm&permEncrypted != 0:
		return &filesystem.UnreadableError{Name: name, Reason: "lies in an HDFS encryption zone, which waltap cannot decrypt: set snapshot.reader: scan, which reads through HBase, or copy the snapshot out of the zone with ExportSnapshot"}
	case !st.IsDir() && (s.GetEcPolicy() != nil || s.GetFlags()&flagErasure != 0 || perm&permErasure != 0):
		return &filesystem.UnreadableError{Name: name, Reason: "is erasure-coded, which waltap cannot read: set snapshot.reader: scan, which reads through HBase, or copy the snapshot to a replicated folder with ExportSnapshot"}
	}
	return nil
}

// ReadDir lists a folder.
func (f *FS) ReadDir(name string) ([]filesystem.Info, error) {
	var entries []os.FileInfo
	err := f.retry(func() (err error) {
		entries, err = f.client.ReadDir(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []filesystem.Info
	for _, st := range entries {
		if err := refuse(path.Join(name, st.Name()), st); err != nil {
			return nil, err
		}
		out = append(out, info(st))
	}
	return out, nil
}

// retry repeats a read over lost connections and a name node that is being replaced.
func (f *FS) retry(read func() error) error {
	for n := 1; ; n++ {
		err := read()
		if err == nil || final(err) {
			return err
		}
		if n == attempts {
			return fmt.Errorf("%w: %w", filesystem.ErrUnavailable, err)
		}
		time.Sleep(f.pause)
	}
}

// final tells whether asking again cannot help: the name node has answered.
func final(err error) bool {
	var remote hdfs.Error
	if errors.As(err, &remote) {
		return !transient(remote)
	}
	var refused *filesystem.UnreadableError
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrInvalid) || errors.As(err, &refused)
}

// transient are the exceptions of a name node that starts or is on standby.
func transient(e hdfs.Error) bool {
	for _, class := range []string{"StandbyException", "RetriableException", "SafeModeException", "ServerTooBusyException"} {
		if strings.HasSuffix(e.Exception(), class) {
			return true
		}
	}
	return false
}

// Open opens a file.
func (f *FS) Open(name string) (filesystem.File, error) {
	r, err := f.open(name)
	if err != nil {
		return nil, err
	}
	return newFile(func() (stream, error) { return f.open(name) }, r, r.Stat().Size(), f.pause), nil
}

func (f *FS) open(name string) (*hdfs.FileReader, error) {
	var r *hdfs.FileReader
	err := f.retry(func() (err error) {
		r, err = f.client.Open(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if r.Stat().IsDir() {
		return nil, &filesystem.UnreadableError{Name: name, Reason: "is a folder, not a file"}
	}
	return r, refuse(name, r.Stat())
}

// stream is what is used of an *hdfs.FileReader.
type stream interface {
	io.ReadSeekCloser
}
