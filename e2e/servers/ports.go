package servers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Ports are taken below the range the kernel gives to outgoing connections (32768
// and up): a server that is restarted finds its port free again.
const (
	firstPort = 12000
	lastPort  = 31999
)

// portLeases holds the locks of the ports given out, until the process ends.
var portLeases struct {
	sync.Mutex
	files []*os.File
}

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on and that no other
// process using this package gets while this one lives.
func FreePort() (int, error) {
	cache, err := CacheDir()
	if err != nil {
		return 0, err
	}
	dir := filepath.Join(cache, "ports")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, fmt.Errorf("create port leases: %w", err)
	}
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		lease, err := tryLockFile(filepath.Join(dir, strconv.Itoa(port)))
		if err != nil {
			continue // leased by another process, or by this one
		}
		if !portIsFree(port) {
			lease.Close()
			continue
		}
		portLeases.Lock()
		portLeases.files = append(portLeases.files, lease)
		portLeases.Unlock()
		return port, nil
	}
	return 0, fmt.Errorf("find free port: 200 tries between %d and %d failed (leases are in %s)", firstPort, lastPort, dir)
}

func portIsFree(port int) bool {
	for _, host := range []string{"127.0.0.1", ""} {
		ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return false
		}
		ln.Close()
	}
	return true
}
