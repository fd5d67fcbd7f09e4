package herder

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Loggers are the named loggers of a process and their levels. A logger's name is dotted; the level of one holds for those
// below it that have none of their own, that of RootLogger for all. It is safe for concurrent use.
type Loggers struct {
	handler slog.Handler

	mu     sync.RWMutex
	levels map[string]loggerLevel
}

type loggerLevel struct {
	level   slog.Level
	changed time.Time // zero: never
}

// RootLogger is the name of the logger above all others.
const RootLogger = "root"

// NewLoggers makes loggers that write to h what is at or above their level; h itself must let all levels pass.
func NewLoggers(h slog.Handler, root slog.Level) *Loggers {
	return &Loggers{handler: h, levels: map[string]loggerLevel{RootLogger: {level: root}}}
}

// Logger returns the logger of a name.
func (l *Loggers) Logger(name string) *slog.Logger {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.levels[name]; !known {
		l.levels[name] = loggerLevel{level: l.level(name)}
	}
	return slog.New(&named{l, name, l.handler})
}

// level of a logger; mu is held.
func (l *Loggers) level(name string) slog.Level {
	for ; name != ""; name = parent(name) {
		if v, ok := l.levels[name]; ok {
			return v.level
		}
	}
	return l.levels[RootLogger].level
}

func parent(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i]
	}
	return ""
}

// LoggerLevel is a logger in the answers of /admin/loggers.
type LoggerLevel struct {
	Level        string `json:"level"`
	LastModified *int64 `json:"last_modified"` // ms since 1970; nil: never
}

func (v loggerLevel) view() LoggerLevel {
	out := LoggerLevel{Level: v.level.String()}
	if v.level == levelOff {
		out.Level = "OFF"
	}
	if !v.changed.IsZero() {
		ms := v.changed.UnixMilli()
		out.LastModified = &ms
	}
	return out
}

// All returns all loggers by name.
func (l *Loggers) All() map[string]LoggerLevel {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make(map[string]LoggerLevel, len(l.levels))
	for name, v := range l.levels {
		out[name] = v.view()
	}
	return out
}

// Get returns a logger; known is false when there is none of that name, nor one below it.
func (l *Loggers) Get(name string) (v LoggerLevel, known bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	own, ok := l.levels[name]
	if !ok {
		own = loggerLevel{level: l.level(name)}
		for other := range l.levels {
			ok = ok || strings.HasPrefix(other, name+".")
		}
	}
	return own.view(), ok
}

// Set gives a logger, and those below it, a level from now on, and returns the names of those that had another. The error names the levels.
func (l *Loggers) Set(name, level string) ([]string, error) {
	to, err := ParseLevel(level)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := []string{}
	if v, ok := l.levels[name]; !ok || v.level != to {
		changed = append(changed, name)
	}
	for other := range maps.Keys(l.levels) {
		if other != name && l.levels[other].level != to && (name == RootLogger || strings.HasPrefix(other, name+".")) {
			changed = append(changed, other)
		}
	}
	now := time.Now()
	for _, n := range changed {
		l.levels[n] = loggerLevel{to, now}
	}
	slices.Sort(changed)
	return changed, nil
}

// ParseLevel reads a level of Go's, or one of log4j's, of which the nearest is taken.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToUpper(s) {
	case "TRACE", "ALL", "DEBUG":
		return slog.LevelDebug, nil
	case "INFO":
		return slog.LevelInfo, nil
	case "WARN":
		return slog.LevelWarn, nil
	case "ERROR", "FATAL":
		return slog.LevelError, nil
	case "OFF":
		return levelOff, nil
	}
	return 0, Errorf(NotFound, "invalid log level '%s': want DEBUG, INFO, WARN, ERROR or OFF", s)
}

const levelOff = slog.LevelError + 100

// named is the handler of one logger.
type named struct {
	loggers *Loggers
	name    string
	next    slog.Handler
}

func (h *named) Enabled(_ context.Context, level slog.Level) bool {
	h.loggers.mu.RLock()
	defer h.loggers.mu.RUnlock()
	return level >= h.loggers.level(h.name)
}

func (h *named) Handle(ctx context.Context, r slog.Record) error { return h.next.Handle(ctx, r) }

func (h *named) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &named{h.loggers, h.name, h.next.WithAttrs(attrs)}
}

func (h *named) WithGroup(group string) slog.Handler {
	return &named{h.loggers, h.name, h.next.WithGroup(group)}
}
