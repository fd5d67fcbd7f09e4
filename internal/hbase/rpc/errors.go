package rpc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/waltap/waltap/internal/hbase/pb"
)

// Java classes of the exceptions this package sends or looks for.
const (
	ClassIOException          = "java.io.IOException"
	ClassUnsupportedOperation = "java.lang.UnsupportedOperationException"
	ClassDoNotRetryIO         = "org.apache.hadoop.hbase.DoNotRetryIOException"
	ClassCallQueueTooBig      = "org.apache.hadoop.hbase.CallQueueTooBigException"

	classFatalConnection        = "org.apache.hadoop.hbase.ipc.FatalConnectionException"
	classBadAuth                = "org.apache.hadoop.hbase.ipc.BadAuthException"
	classWrongVersion           = "org.apache.hadoop.hbase.ipc.WrongVersionException"
	classUnsupportedCodec       = "org.apache.hadoop.hbase.ipc.UnsupportedCellCodecException"
	classUnsupportedCompression = "org.apache.hadoop.hbase.ipc.UnsupportedCompressionCodecException"
	classUnsupportedCrypto      = "org.apache.hadoop.hbase.ipc.UnsupportedCryptoException"
	classRequestTooBig          = "org.apache.hadoop.hbase.exceptions.RequestTooBigException"
)

// RemoteError is an exception a server answered with: the call reached it and
// the connection is fine, unless the error concerned the connection itself.
type RemoteError struct {
	// Method that was called; empty for an error about the connection.
	Method string
	// Class is the exception's Java class name.
	Class string
	// Message is the exception's message without class name and stack.
	Message string
	// Host and Port are where the region is now, if the exception says so;
	// empty and 0 otherwise.
	Host string
	Port int
	// DoNotRetry is the server's word that a repeat will fail as well.
	DoNotRetry bool
}

func (e *RemoteError) Error() string {
	var b strings.Builder
	if e.Method != "" {
		b.WriteString(e.Method + ": ")
	}
	b.WriteString(e.Class)
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Host != "" {
		fmt.Fprintf(&b, " (see %s:%d)", e.Host, e.Port)
	}
	return b.String()
}

// IsRemote reports whether err is or wraps a *[RemoteError] of the given Java
// class, by its simple name ("NotServingRegionException") or its full one.
func IsRemote(err error, class string) bool {
	var remote *RemoteError
	if !errors.As(err, &remote) {
		return false
	}
	if remote.Class == class {
		return true
	}
	simple := remote.Class[strings.LastIndexAny(remote.Class, ".$")+1:]
	return simple == class
}

func remoteError(method string, x *pb.ExceptionResponse) *RemoteError {
	class := x.GetExceptionClassName()
	return &RemoteError{
		Method:     method,
		Class:      class,
		Message:    exceptionMessage(class, x.GetStackTrace()),
		Host:       x.GetHostname(),
		Port:       int(x.GetPort()),
		DoNotRetry: x.GetDoNotRetry(),
	}
}

// Exception is the error for an exception that stands inside an answer, as that to a Multi has it for each action: the class and
// the stack trace. Whether a repeat would help is not said there.
func Exception(method string, x *pb.NameBytesPair) *RemoteError {
	return &RemoteError{Method: method, Class: x.GetName(), Message: exceptionMessage(x.GetName(), string(x.GetValue()))}
}

// exceptionMessage takes the message out of a Java stack trace, which is
// "class: message", possibly over several lines, then "\tat" lines.
func exceptionMessage(class, stack string) string {
	if i := strings.Index(stack, "\n\tat "); i >= 0 {
		stack = stack[:i]
	}
	stack = strings.TrimPrefix(stack, class)
	return strings.TrimSpace(strings.TrimPrefix(stack, ":"))
}

// exceptionResponse is the answer for an exception. HBase's clients use the
// stack trace as the message, so it is never empty.
func exceptionResponse(class, message string, doNotRetry bool) *pb.ExceptionResponse {
	stack := class
	if message != "" {
		stack += ": " + message
	}
	x := &pb.ExceptionResponse{ExceptionClassName: &class, StackTrace: &stack}
	if doNotRetry {
		x.DoNotRetry = &doNotRetry
	}
	return x
}

// ConnError says that a connection is broken, by the network, the peer or
// [Conn.Close]. Whether the server has acted on a call that got it is unknown.
// It wraps the cause: a net.Error, io.EOF, [net.ErrClosed], a *[RemoteError]
// about the connection.
type ConnError struct {
	// Addr is the address that was dialled.
	Addr string
	Err  error
}

func (e *ConnError) Error() string { return fmt.Sprintf("connection to %s: %v", e.Addr, e.Err) }

func (e *ConnError) Unwrap() error { return e.Err }
