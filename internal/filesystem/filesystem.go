// Package filesystem reads the files of an HBase, where they are: in a folder of this machine (Local) or on HDFS (package
// hdfs). It never writes.
package filesystem

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ErrUnavailable says that a file system does not answer, after some attempts. It may later.
var ErrUnavailable = errors.New("the file system does not answer")

// FS is a file system. Names are absolute paths with slashes; what is not there is fs.ErrNotExist, what may not be read
// fs.ErrPermission. It is safe for concurrent use.
type FS interface {
	// Stat says what a name is. What this file system cannot be trusted to read right is refused with an *UnreadableError.
	Stat(name string) (Info, error)
	// Open opens a file for reading, and refuses what Stat does.
	Open(name string) (File, error)
	// ReadDir lists a folder by name.
	ReadDir(name string) ([]Info, error)
	Close() error
}

// File is an open file, which must not change. It is safe for concurrent use. ReadAt may answer fs.ErrNotExist when the
// file was moved since it was opened.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Info is a file or a folder.
type Info struct {
	Name string // without its folder
	Size int64  // of a file, bytes
	Dir  bool
}

// UnreadableError says that a file is there and what it holds cannot be had this way.
type UnreadableError struct {
	Name   string
	Reason string // what it is, and what to do
}

func (e *UnreadableError) Error() string { return e.Name + " " + e.Reason }

// ReadFile reads a file of at most limit bytes.
func ReadFile(f FS, name string, limit int64) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if file.Size() > limit {
		return nil, &UnreadableError{name, "is too large to be what its name says"}
	}
	b := make([]byte, file.Size())
	if n, err := file.ReadAt(b, 0); n < len(b) {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return b, nil
}

// Local is the file system of this machine.
type Local struct{}

// Stat describes a name.
func (Local) Stat(name string) (Info, error) {
	st, err := os.Stat(filepath.FromSlash(name))
	if err != nil {
		return Info{}, err
	}
	return localInfo(st), nil
}

func localInfo(st fs.FileInfo) Info {
	return Info{Name: st.Name(), Size: st.Size(), Dir: st.IsDir()}
}

// Open opens a file.
func (Local) Open(name string) (File, error) {
	f, err := os.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if st.IsDir() {
		f.Close()
		return nil, &UnreadableError{name, "is a folder, not a file"}
	}
	return &localFile{f, st.Size()}, nil
}

// ReadDir lists a folder, without the checksum files that Hadoop keeps beside others (.NAME.crc).
func (Local) ReadDir(name string) ([]Info, error) {
	entries, err := os.ReadDir(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), ".crc") {
			continue
		}
		st, err := e.Info()
		if err != nil {
			return nil, err
		}
		out = append(out, localInfo(st))
	}
	return out, nil
}

// Close does nothing.
func (Local) Close() error { return nil }

type localFile struct {
	*os.File
	size int64
}

func (f *localFile) Size() int64 { return f.size }

// Location is where an HBase keeps its files.
type Location struct {
	NameNodes []string // host:port of HDFS's; none: a folder of this machine
	Path      string
}

// defaultPort is where a name node listens when nothing is said (fs.defaultFS).
const defaultPort = "8020"

// ParseLocation reads "hdfs://host:port/path", with all name nodes of an HA pair "hdfs://host:port,host:port/path", "file:///path" or
// "/path".
func ParseLocation(s string) (Location, error) {
	rest, remote := strings.CutPrefix(s, "hdfs://")
	if !remote {
		rest = strings.TrimPrefix(s, "file:")
		if strings.HasPrefix(rest, "//") {
			rest = "/" + strings.TrimLeft(rest, "/")
		}
		if !strings.HasPrefix(rest, "/") {
			return Location{}, fmt.Errorf("%q is neither hdfs://host:port/path nor file:///path", s)
		}
		return Location{Path: path.Clean(rest)}, nil
	}
	hosts, dir, ok := strings.Cut(rest, "/")
	if !ok || hosts == "" {
		return Location{}, fmt.Errorf("%q names no name node and path: want hdfs://host:port/path, or hdfs://host:port,host:port/path for an HA pair", s)
	}
	l := Location{Path: path.Clean("/" + dir)}
	for host := range strings.SplitSeq(hosts, ",") {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, defaultPort)
		}
		l.NameNodes = append(l.NameNodes, host)
	}
	return l, nil
}

// String is how ParseLocation reads it.
func (l Location) String() string {
	if len(l.NameNodes) == 0 {
		return "file://" + l.Path
	}
	return "hdfs://" + strings.Join(l.NameNodes, ",") + l.Path
}
