package servers

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// maxFaultLines bounds what Fault shows of a log.
const maxFaultLines = 8

// Fault says why the server no longer serves although nobody has stopped it: its process has ended, or its log says that it
// has given up. "" while it serves, and when it was stopped, killed or paused on purpose. It is for one caller at a time.
func (s *server) Fault() (string, error) {
	p := s.process()
	if s.scanned.proc != p {
		s.scanned = scanned{proc: p, off: p.logOff}
	}
	ended := !p.Running() // asked before reading, so that the last lines count
	text, err := s.scanned.find(s.broken)
	switch {
	case err != nil:
		return "", fmt.Errorf("read log of %s: %w", s.name, err)
	case p.ending.Load():
		return "", nil
	case text != "":
		return fmt.Sprintf("%s has given up (pid %d, log %s):\n%s", s.name, p.PID(), p.log, text), nil
	case ended:
		return fmt.Sprintf("%s has ended by itself (%v)\n%s", s.name, p.cmd.ProcessState, LogTail(p.log)), nil
	}
	return "", nil
}

// scanned is how far the log of a process was searched.
type scanned struct {
	proc  *Process
	off   int64
	found string
}

// find returns the first line that re matches, with what follows it up to the next line of the log but for stack traces.
func (s *scanned) find(re *regexp.Regexp) (string, error) {
	if re == nil || s.found != "" {
		return s.found, nil
	}
	log, err := os.Open(s.proc.log)
	if err != nil {
		return "", err
	}
	defer log.Close()
	if _, err := log.Seek(s.off, io.SeekStart); err != nil {
		return "", err
	}
	b, err := io.ReadAll(log)
	if err != nil {
		return "", err
	}
	b = b[:bytes.LastIndexByte(b, '\n')+1] // whole lines
	at := re.FindIndex(b)
	if at == nil {
		s.off += int64(len(b))
		return "", nil
	}
	begin := bytes.LastIndexByte(b[:at[0]], '\n') + 1
	s.found = firstLines(string(b[begin:]))
	return s.found, nil
}

// logTime begins each line of a log; what an exception adds has none.
var logTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT`)

func firstLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if len(lines) == maxFaultLines || len(lines) > 0 && logTime.MatchString(line) {
			break
		}
		if !strings.HasPrefix(line, "\t") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
