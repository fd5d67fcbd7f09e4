package admin

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"bytes"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/pb"
)

// kerberised is a server that answers the preamble of SIMPLE authentication as HBase with hbase.security.authentication=kerberos does:
// a response to the call -1 that nobody has made, whose exception is AccessDeniedException, and the end of the connection
// (ServerRpcConnection.processPreamble and doBadPreambleHandling of 2.6.4; 1.4.14 RpcServer answers its authFailedCall likewise).
func kerberised(t *testing.T) (addr string) {
	t.Helper()
	const class = "org.apache.hadoop.hbase.security.AccessDeniedException"
	header := &pb.ResponseHeader{CallId: proto.Uint32(1<<32 - 1), Exception: &pb.ExceptionResponse{
		ExceptionClassName: proto.String(class), StackTrace: proto.String(class + ": Authentication is required\n\tat …"), DoNotRetry: proto.Bool(true),
	}}
	var answer bytes.Buffer
	if _, err := protodelim.MarshalTo(&answer, header); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			var preamble [6]byte
			if _, err := io.ReadFull(conn, preamble[:]); err == nil && string(preamble[:]) == "HBas\x00\x50" {
				conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(answer.Len())), answer.Bytes()...))
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, conn)
			}
			conn.Close()
		}
	}()
	return ln.Addr().String()
}

func TestKerberosIsRecognised(t *testing.T) {
	c, _ := clusterAt(t, kerberised(t))
	st, result := examineMaster(t.Context(), c)
	if st != nil || result.Check != checkAuthentication.Name || result.Severity != check.Failure || result.Remedy == "" {
		t.Errorf("of a master that wants Kerberos is told %+v", result)
	}
	for _, s := range []ServerName{serverNameOf(serverAt(t, kerberised(t)))} {
		if err := c.Ping(t.Context(), s); err == nil || !wantsKerberos(err) {
			t.Errorf("of a region server that wants Kerberos: %v", err)
		}
	}
}
