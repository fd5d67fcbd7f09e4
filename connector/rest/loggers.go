package rest

import (
	"net/http"
	"strings"

	"github.com/waltap/waltap/connector/herder"
)

func loggers(c *call) (answer, error) { return ok(c.api.Loggers.All(), nil) }

func logger(c *call) (answer, error) {
	l, known := c.api.Loggers.Get(c.args[0])
	if !known {
		return answer{}, fail(http.StatusNotFound, "Logger %s not found.", c.args[0])
	}
	return ok(l, nil)
}

type levelBody struct {
	Level string `json:"level"`
}

func setLogger(c *call) (answer, error) {
	var b levelBody
	if err := c.decode(&b); err != nil {
		return answer{}, err
	}
	if b.Level == "" {
		return answer{}, fail(http.StatusBadRequest, "Desired 'level' parameter was not specified in request.")
	}
	if _, err := herder.ParseLevel(b.Level); err != nil {
		return answer{}, err
	}
	if strings.EqualFold(c.URL.Query().Get("scope"), "cluster") { // any other is this worker's, as in Connect
		return done(http.StatusNoContent, c.api.Herder.SetLogLevel(c.Context(), c.args[0], b.Level))
	}
	return ok(c.api.Loggers.Set(c.args[0], b.Level))
}
