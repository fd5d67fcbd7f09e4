//go:build waltap_crash

package crash

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestThirdPassageKills runs itself as a child that passes points until it dies.
func TestThirdPassageKills(t *testing.T) {
	if os.Getenv("WALTAP_CRASH") != "" {
		for range 2 {
			Point(Produced)
			Point(Scanned)
		}
		os.Stdout.WriteString("still here")
		Point(Produced)
		os.Stdout.WriteString(" and behind it")
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestThirdPassageKills$")
	cmd.Env = append(os.Environ(), "WALTAP_CRASH=produced:3")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || string(out) != "still here" {
		t.Errorf("the child ended with %v after %q, want SIGKILL at the third passage", err, out)
	}
}

func TestUnknownPointIsRefused(t *testing.T) {
	for _, v := range []string{"nowhere", "produced:0", "produced:x"} {
		cmd := exec.Command(os.Args[0], "-test.run", "^$")
		cmd.Env = append(os.Environ(), "WALTAP_CRASH="+v)
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 2 {
			t.Errorf("WALTAP_CRASH=%s: %v, want exit code 2", v, err)
		}
	}
}
