package herder

import (
	"errors"
	"fmt"
	"net/http"
)

// Kind of an error, of which the REST API makes the status code.
type Kind int

// The kinds of errors.
const (
	// BadRequest: the request cannot be carried out whoever asks again.
	BadRequest Kind = iota + 1
	// NotFound: there is no such connector, task or status.
	NotFound
	// Conflict: the name is taken, or the request is at odds with another.
	Conflict
	// Rebalancing: the work is being dealt out anew, or its owner is not known at the moment. To be sent again.
	Rebalancing
	// Refused: partitions or offsets are none of a source's, or an offset of a sink's is below 0: Connect answers with 500, as its connectors do.
	Refused
	// NotReady: the herder starts, or Kafka does not answer. To be sent again.
	NotReady
)

// Status is the HTTP status code, as Connect has it.
func (k Kind) Status() int {
	switch k {
	case BadRequest:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case Conflict, Rebalancing:
		return http.StatusConflict
	case NotReady:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Error is an answer that is not the one that was asked for. Its text is shown to who asked: it says what to do and holds no secret.
type Error struct {
	Kind Kind
	Text string
}

func (e *Error) Error() string { return e.Text }

// Errorf makes an Error.
func Errorf(k Kind, format string, args ...any) error { return &Error{k, fmt.Sprintf(format, args...)} }

// KindOf finds an Error in err; 0: there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

// ErrRebalancing says that the work is being dealt out anew.
func ErrRebalancing() error {
	return Errorf(Rebalancing, "Cannot complete request momentarily due to stale configuration (typically caused by a concurrent config change)")
}

// ErrNotFound says that there is no such connector.
func ErrNotFound(name string) error { return Errorf(NotFound, "Connector %s not found", name) }

// ErrNoStatus says that nobody has reported a connector's state yet.
func ErrNoStatus(name string) error {
	return Errorf(NotFound, "No status found for connector %s", name)
}

// ErrNoTask says that a connector has no such task.
func ErrNoTask(name string, task int) error {
	return Errorf(NotFound, "Unknown task: %s-%d", name, task)
}

// ErrExists says that the name is taken.
func ErrExists(name string) error { return Errorf(Conflict, "Connector %s already exists", name) }

// ErrNotStopped says that the offsets of a connector that is not stopped cannot be changed.
func ErrNotStopped(name string) error {
	return Errorf(BadRequest, "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector by issuing a 'PUT' request to the '/connectors/%s/stop' endpoint", name)
}
