package rest

import (
	"net/http"
	"strconv"
	"time"

	"github.com/waltap/waltap/connector/dlq"
	"github.com/waltap/waltap/connector/tail"
)

// deadLettersBody is the answer to GET /v1/connectors/{connector}/dead-letters.
type deadLettersBody struct {
	Topic   string       `json:"topic"`   // "": the connector has none (errors.deadletterqueue.topic.name)
	Records int64        `json:"records"` // on the topic, whichever connector put them there
	Latest  []deadLetter `json:"latest"`  // of this connector, the newest first
}

// deadLetter is one, without its value: waltap dlq list --json has that.
type deadLetter struct {
	Entry     string     `json:"entry"` // partition/offset, as waltap dlq replay takes it
	Time      *time.Time `json:"time,omitempty"`
	Topic     string     `json:"topic"` // where the record was, or was to go
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"` // -1: it was never there
	Stage     string     `json:"stage"`
	Exception string     `json:"exception"`
	Reason    string     `json:"reason"`
	Key       string     `json:"key"` // as HBase's shell shows a row
	Replayed  *time.Time `json:"replayed,omitempty"`
	Before    string     `json:"before,omitempty"` // the dead letter that it was before it was put back and failed again
}

const (
	deadLettersShown = 20
	deadLettersMost  = 200
)

func deadLetters(c *call) (answer, error) {
	most := deadLettersShown
	if text := c.URL.Query().Get("limit"); text != "" {
		var err error
		if most, err = strconv.Atoi(text); err != nil || most < 1 || most > deadLettersMost {
			return answer{}, fail(http.StatusBadRequest, "limit is %q: want a number from 1 to %d", text, deadLettersMost)
		}
	}
	name := c.args[0]
	i, err := c.api.Herder.Connector(c.Context(), name)
	if err != nil {
		return answer{}, err
	}
	body := deadLettersBody{Latest: []deadLetter{}}
	parsed, err := c.api.Process.ParseConnector(name, i.Config)
	if err != nil {
		return answer{}, err
	}
	if parsed.Source != nil {
		body.Topic = parsed.Source.Errors.DeadLetterTopic
	} else {
		body.Topic = parsed.Sink.Errors.DeadLetterTopic
	}
	if body.Topic == "" {
		return ok(body, nil)
	}
	if c.api.DeadLetters == nil {
		return answer{}, ErrNoKafka
	}
	look, err := c.api.DeadLetters(c.Context(), body.Topic, name, most)
	if err != nil {
		return answer{}, err
	}
	body.Records = look.Records
	for _, e := range look.Latest {
		body.Latest = append(body.Latest, deadLetterOf(e))
	}
	return ok(body, nil)
}

func deadLetterOf(e *dlq.Entry) deadLetter {
	d := deadLetter{Entry: e.ID.String(), Topic: e.Topic, Partition: e.Partition, Offset: e.Offset, Stage: e.Stage, Exception: e.Exception, Reason: e.Message,
		Key: tail.Escape(e.Key), Before: e.Before}
	if !e.Time.IsZero() {
		at := e.Time.UTC()
		d.Time = &at
	}
	if !e.Replayed.IsZero() {
		d.Replayed = &e.Replayed
	}
	return d
}
