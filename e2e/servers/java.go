package servers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
)

// MissingToolError reports that a program the servers need is not installed.
type MissingToolError struct {
	Tool  string // "java", "javac" or "mvn"
	Found string // what was found instead, "" for nothing
}

func (e *MissingToolError) Error() string {
	msg := "find " + e.Tool + ": not installed"
	if e.Found != "" {
		msg = "find " + e.Tool + ": " + e.Found
	}
	return msg + "; HBase and Kafka run on Java 17 and come by Maven: run e2e/deps.sh," +
		" or as root on Debian: apt-get install -y openjdk-17-jdk-headless maven"
}

// Java versions that HBase 2.6 and Hadoop 3.4 start on: 23 took the security
// manager away that Hadoop's login still calls.
const (
	minJava = 17
	maxJava = 22
)

// Java returns the java program the servers run on.
func Java() (string, error) { return javaOnce() }

var javaOnce = sync.OnceValues(func() (string, error) {
	missing := &MissingToolError{Tool: "java"}
	for _, path := range javaCandidates() {
		v, err := javaVersion(path)
		if err != nil {
			missing.Found = err.Error()
			continue
		}
		if v >= minJava && v <= maxJava {
			return path, nil
		}
		missing.Found = fmt.Sprintf("%s is version %d, want %d to %d", path, v, minJava, maxJava)
	}
	return "", missing
})

func javaCandidates() []string {
	var paths []string
	if home := os.Getenv("JAVA_HOME"); home != "" {
		paths = append(paths, filepath.Join(home, "bin", "java"))
	}
	if p, err := exec.LookPath("java"); err == nil {
		paths = append(paths, p)
	}
	known, err := filepath.Glob("/usr/lib/jvm/java-17-*/bin/java")
	if err == nil {
		paths = append(paths, known...)
	}
	return paths
}

var versionRE = regexp.MustCompile(`version "(\d+)`)

func javaVersion(path string) (int, error) {
	out, err := exec.Command(path, "-version").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("run %s -version: %w", path, err)
	}
	m := versionRE.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("run %s -version: no version in %q", path, bytes.TrimSpace(out))
	}
	return strconv.Atoi(string(m[1]))
}

// Javac returns the compiler that stands beside Java.
func Javac() (string, error) {
	java, err := Java()
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(java)
	if err != nil {
		return "", fmt.Errorf("find javac: %w", err)
	}
	for _, path := range []string{filepath.Join(filepath.Dir(java), "javac"), filepath.Join(filepath.Dir(real), "javac")} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", &MissingToolError{Tool: "javac", Found: java + " is a runtime without a compiler"}
}

// mavenFetch puts pom's jars into lib.
func mavenFetch(ctx context.Context, goal, pom, lib string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return &MissingToolError{Tool: "mvn"}
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pom,
		"dependency:"+goal, "-DoutputDirectory="+lib)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("resolve jars of %s with mvn: %w\n%s", pom, err, lastLines(out, 20))
	}
	return nil
}

func lastLines(b []byte, n int) []byte {
	b = bytes.TrimRight(b, "\n")
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '\n' {
			if n--; n == 0 {
				return b[i+1:]
			}
		}
	}
	return b
}
