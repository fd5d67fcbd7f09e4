package admin

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
)

const (
	defaultNamespace = "default"
	systemNamespace  = "hbase"
	metaTable        = "hbase:meta"
)

// ServerName names one incarnation of a server.
type ServerName struct {
	Host      string
	Port      int
	StartCode int64 // ms since the epoch of its start
}

// ParseServerName parses "host,port,startcode", the form of server names in znodes and logs.
func ParseServerName(s string) (ServerName, error) {
	parts := strings.Split(s, ",")
	if len(parts) != 3 || parts[0] == "" {
		return ServerName{}, fmt.Errorf("parse server name %q: it is not host,port,startcode", s)
	}
	port, err := strconv.ParseUint(parts[1], 10, 16)
	if err != nil {
		return ServerName{}, fmt.Errorf("parse server name %q: port: %w", s, err)
	}
	code, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return ServerName{}, fmt.Errorf("parse server name %q: start code: %w", s, err)
	}
	return ServerName{Host: parts[0], Port: int(port), StartCode: code}, nil
}

// String returns "host,port,startcode".
func (s ServerName) String() string { return fmt.Sprintf("%s,%d,%d", s.Host, s.Port, s.StartCode) }

// Addr returns "host:port".
func (s ServerName) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// IsZero reports whether no server is named.
func (s ServerName) IsZero() bool { return s.Host == "" }

func serverNameOf(m *pb.ServerName) ServerName {
	return ServerName{Host: m.GetHostName(), Port: int(m.GetPort()), StartCode: int64(m.GetStartCode())}
}

func (s ServerName) toProto() *pb.ServerName {
	return &pb.ServerName{
		HostName:  &s.Host,
		Port:      proto.Uint32(uint32(s.Port)),
		StartCode: proto.Uint64(uint64(s.StartCode)),
	}
}

// splitTable splits "ns:q" or "q", which is in the namespace "default".
func splitTable(name string) (namespace, qualifier string) {
	if ns, q, ok := strings.Cut(name, ":"); ok {
		return ns, q
	}
	return defaultNamespace, name
}

// fullName returns "ns:q" for "ns:q" and for "q".
func fullName(name string) string {
	ns, q := splitTable(name)
	return ns + ":" + q
}

// metaName returns a table's name as it begins the names of its regions: without the namespace "default".
func metaName(name string) string {
	ns, q := splitTable(name)
	if ns == defaultNamespace {
		return q
	}
	return ns + ":" + q
}

func tableNameOf(m *pb.TableName) string {
	return string(m.GetNamespace()) + ":" + string(m.GetQualifier())
}

func tableNameProto(name string) *pb.TableName {
	ns, q := splitTable(name)
	return &pb.TableName{Namespace: []byte(ns), Qualifier: []byte(q)}
}

// encodedRegionName returns the hash that ends a region's name ("table,start,id.<hash>."), by which WAL keys name
// the region. The first region of hbase:meta has a fixed one.
func encodedRegionName(name []byte) (string, error) {
	if string(name) == metaRegionName {
		return metaRegionEncoded, nil
	}
	body, ok := bytes.CutSuffix(name, []byte("."))
	dot := bytes.LastIndexByte(body, '.')
	if !ok || dot < 0 || len(body)-dot-1 != 32 {
		return "", fmt.Errorf("parse region name %q: want a dot, 32 hexadecimal digits and a dot at its end", name)
	}
	return string(body[dot+1:]), nil
}
