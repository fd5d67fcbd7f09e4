// Package deadletter puts records that cannot be delivered on a topic of their own, in the form of Kafka Connect: the
// record as it was, and in its headers why it is there.
package deadletter

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/kafka"
)

// Names of the headers, those of Connect's DeadLetterQueueReporter. All values are text.
const (
	prefix           = "__connect.errors."
	headerTopic      = prefix + "topic"
	headerPartition  = prefix + "partition"
	headerOffset     = prefix + "offset"
	headerConnector  = prefix + "connector.name"
	headerTask       = prefix + "task.id"
	headerStage      = prefix + "stage"
	headerClass      = prefix + "class.name"
	headerException  = prefix + "exception.class.name"
	headerMessage    = prefix + "exception.message"
	headerStackTrace = prefix + "exception.stacktrace"
)

// HeaderReplay stands on a record that was put back: <dead-letter topic>/<partition>/<offset>.
const HeaderReplay = "waltap.dlq.replay"

// Stages, in Connect's words.
const (
	StageValueConverter = "VALUE_CONVERTER" // a sink cannot read it
	StagePut            = "TASK_PUT"        // the target refuses it
	StagePoll           = "TASK_POLL"       // a source cannot make a record of it
	StageProduce        = "KAFKA_PRODUCE"   // Kafka does not take it
)

// maxText bounds the two texts of an error, in bytes.
const maxText = 32 << 10

// Letter is a record that could not be delivered, and why.
type Letter struct {
	Key, Value []byte
	Headers    []kafka.Header // the record's own
	Time       time.Time      // the record's, zero: none

	// Topic, Partition and Offset are where the record is; of a source, where it was to go, and the offset is -1.
	Topic     string
	Partition int32
	Offset    int64

	Connector string
	Task      int
	Stage     string
	Class     string // what was at work, a Go type with its package
	Exception string // kind of error
	Message   string
	Trace     string
}

// New makes a Letter of record r, which worker could not deal with because of err.
func New(r kafka.Record, stage string, worker any, err error) Letter {
	return Letter{
		Key: r.Key, Value: r.Value, Headers: r.Headers, Time: r.Time, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		Stage: stage, Class: typeName(worker), Exception: kind(err), Message: cut(err.Error()), Trace: cut(trace(err)),
	}
}

// Record is the letter as it goes to a dead-letter topic; with context, the headers say why. Headers of an earlier
// failure of the same record are replaced.
func (l *Letter) Record(context bool) kafka.Record {
	r := kafka.Record{Key: l.Key, Value: l.Value, Time: l.Time, Headers: own(l.Headers)}
	if !context {
		return r
	}
	add := func(key, value string) { r.Headers = append(r.Headers, kafka.Header{Key: key, Value: []byte(value)}) }
	add(headerTopic, l.Topic)
	add(headerPartition, strconv.Itoa(int(l.Partition)))
	add(headerOffset, strconv.FormatInt(l.Offset, 10))
	add(headerConnector, l.Connector)
	add(headerTask, strconv.Itoa(l.Task))
	add(headerStage, l.Stage)
	add(headerClass, l.Class)
	add(headerException, l.Exception)
	add(headerMessage, l.Message)
	add(headerStackTrace, l.Trace)
	return r
}

// Parse reads a record of a dead-letter topic; false when its headers do not say what it is. Of what another
// program has put there it takes what it finds.
func Parse(r kafka.Record) (Letter, bool) {
	l := Letter{Key: r.Key, Value: r.Value, Headers: own(r.Headers), Time: r.Time, Partition: -1, Offset: -1}
	said := false
	for _, h := range r.Headers {
		text := string(h.Value)
		switch h.Key {
		case headerTopic:
			l.Topic, said = text, true
		case headerPartition:
			if n, err := strconv.ParseInt(text, 10, 32); err == nil {
				l.Partition = int32(n)
			}
		case headerOffset:
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				l.Offset = n
			}
		case headerConnector:
			l.Connector = text
		case headerTask:
			if n, err := strconv.Atoi(text); err == nil {
				l.Task = n
			}
		case headerStage:
			l.Stage = text
		case headerClass:
			l.Class = text
		case headerException:
			l.Exception = text
		case headerMessage:
			l.Message = text
		case headerStackTrace:
			l.Trace = text
		}
	}
	return l, said
}

// own are the headers of a record without those that say why it failed.
func own(headers []kafka.Header) []kafka.Header {
	kept := make([]kafka.Header, 0, len(headers)+10)
	for _, h := range headers {
		if !strings.HasPrefix(h.Key, prefix) {
			kept = append(kept, h)
		}
	}
	return kept
}

// typeName is the type of v with the path of its package, pointers left out.
func typeName(v any) string {
	t := reflect.TypeOf(v)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == nil:
		return ""
	case t.PkgPath() == "":
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}

// kind is the type of the innermost error that is more than a text.
func kind(err error) string {
	name := typeName(err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		if n := typeName(e); !strings.HasPrefix(n, "fmt.") && !strings.HasPrefix(n, "errors.") {
			name = n
		}
	}
	return name
}

// trace lists the errors that err wraps, one a line. Go's errors carry no stack.
func trace(err error) string {
	var b strings.Builder
	for e := err; e != nil; e = errors.Unwrap(e) {
		if b.Len() > 0 {
			b.WriteString("\nCaused by: ")
		}
		b.WriteString(typeName(e) + ": " + e.Error())
	}
	return b.String()
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + " …"
}
