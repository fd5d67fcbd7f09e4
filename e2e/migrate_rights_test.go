//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// printedRights are the commands that waltap acls prints for a file and a user, as documentedRights has them; those of the lists with
// one of the titles, of all for none.
func printedRights(t *testing.T, file, principal, what string, titles ...string) (commands [][]string) {
	t.Helper()
	r := testenv.RunWaltap(testenv.Context(t, time.Minute), t, "acls", "-f", file, "--for", what, "--principal", principal)
	if r.ExitCode != 0 {
		t.Fatalf("waltap acls --for %s: %+v", what, r)
	}
	for section := range strings.SplitSeq(r.Stdout, "# ") {
		title, list, _ := strings.Cut(section, "\n")
		if len(titles) > 0 && !slices.Contains(titles, title) {
			continue
		}
		for _, c := range printedCommands(list, "kafka-acls.sh") {
			commands = append(commands, inOrder(c))
		}
	}
	if len(commands) == 0 {
		t.Fatalf("waltap acls --for %s prints no rights of %q:\n%s", what, titles, r.Stdout)
	}
	return commands
}

// inOrder puts the resource of a command before its operations, with its pattern.
func inOrder(c []string) []string {
	out := slices.Clone(c[:6]) // --bootstrap-server, --add, --allow-principal
	pattern := "literal"
	var resource, operations []string
	for i := 6; i+1 < len(c); i += 2 {
		switch c[i] {
		case "--operation":
			operations = append(operations, c[i:i+2]...)
		case "--resource-pattern-type":
			pattern = c[i+1]
		default:
			resource = c[i : i+2]
		}
	}
	return slices.Concat(out, resource, []string{"--resource-pattern-type", pattern}, operations)
}

// TestMigrationWithThePrintedRights: all steps of a migration, over SASL_SSL, where who runs the connectors and who takes the other steps
// have the rights that waltap acls prints for them and no other; of the other steps each was used when it is through. Who verifies and lacks one is told which.
// At full size there and back again.
func TestMigrationWithThePrintedRights(t *testing.T) {
	t.Parallel()
	k := env.SecureKafka(t)
	m := newMigration(t, 1, nil, nil)
	for _, x := range m.tables {
		if _, err := env.Src.Load(testenv.Context(t, time.Minute), x.source, judge.LoadSpec{Rows: 100, Seed: 7, Families: []string{"a", "b"}, ValueSize: 20}); err != nil {
			t.Fatal(err)
		}
	}
	as := func(user string) string { return m.write(t, k.Listener(servers.SASLSSL), saslSSL(t, k, user)) }
	mover, steerer := as("mover"), as("steerer")
	startTitles, stepTitles := []string{"wave all: waltap migrate start"}, []string{"wave all: the other steps of waltap migrate"}
	reverse := torture(0, 1) > 0
	if reverse {
		startTitles = append(startTitles, "wave all: waltap migrate start, for cutover --reverse in addition")
		stepTitles = append(stepTitles, "wave all: the other steps, for cutover --reverse in addition")
	}
	starts := printedRights(t, mover, "User:mover", "migrate", startTitles...)
	steps := printedRights(t, mover, "User:steerer", "migrate", stepTitles...)
	runAsAdmin(t, k, slices.Concat(starts, steps)...)

	m.file = mover
	w := m.start(t)
	m.file = steerer
	m.awaitFollowing(t, w)
	m.run(t, 0, "plan")
	m.run(t, 0, "pause")
	m.run(t, 0, "resume")
	verifyWithPrintedRights(t, k, m)
	m.run(t, 0, "verify", "-q")
	m.run(t, 0, "repair", "-q", "--execute")
	if reverse {
		m.run(t, 0, "cutover", "--reverse")
		m.run(t, 0, "cutover", "--undo")
		m.run(t, 0, "verify", "-q")
	}
	for _, x := range m.tables { // there is something to compare since the repair
		if err := env.Src.Write(testenv.Context(t, time.Minute), x.source, judge.Put("later", "a", "q", "v")); err != nil {
			t.Fatal(err)
		}
	}
	m.run(t, 0, "cutover")
	m.identical(t)
	m.run(t, 0, "cleanup", "--topics")
	if code, err := w.Wait(testenv.Context(t, time.Minute)); err != nil || code != 0 {
		t.Errorf("waltap migrate start has ended with %d, %v; want 0 after the clean-up\n%s", code, err, servers.LogTail(w.LogPath()))
	}
	m.checkCleaned(t, true)
	checkAccesses(t, k, "User:mover", nil)
	checkAccesses(t, k, "User:steerer", slices.DeleteFunc(steps, unusual))
}

// unusual tells whether a right is only for what does not happen here: records of a newer release, renames that a repair writes by.
func unusual(c []string) bool {
	return (strings.HasPrefix(c[7], "__waltap-schema.") || strings.HasPrefix(c[7], "__waltap-tables.")) && slices.Equal(c[10:], []string{"--operation", "Read"})
}

// verifyWithPrintedRights runs waltap verify beside the migration as somebody who lacks one of the rights for it, then with it.
func verifyWithPrintedRights(t *testing.T, k *servers.Kafka, m *migration) {
	t.Helper()
	const principal = "User:prover"
	file := m.write(t, k.Listener(servers.SASLSSL), saslSSL(t, k, "prover"))
	rights := slices.DeleteFunc(printedRights(t, file, principal, "verify"), func(c []string) bool {
		return unusual(c) || slices.Equal(c[10:], []string{"--operation", "Read"}) && c[9] == "prefixed" // --changed-since
	})
	i := slices.IndexFunc(rights, func(c []string) bool { return c[9] == "prefixed" })
	if i < 0 {
		t.Fatalf("the rights of verify are %q", rights)
	}
	runAsAdmin(t, k, slices.Delete(slices.Clone(rights), i, i+1)...)
	verify := func() testenv.Result {
		return testenv.RunWaltap(testenv.Context(t, time.Minute), t, "verify", "-q", "-f", file)
	}
	if r := verify(); r.ExitCode != 1 || !strings.Contains(r.Stderr, principal+" lacks the right Describe on topic "+m.name+".") {
		t.Errorf("verify without the right to see where the topics end: %+v", r)
	}
	runAsAdmin(t, k, rights[i])
	if r := verify(); r.ExitCode != 0 {
		t.Errorf("verify with the printed rights: %+v", r)
	}
	accesses, err := k.Accesses(principal)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accesses {
		if !a.Allowed && !strings.HasPrefix(a.Name, m.name+".") {
			t.Errorf("the broker refused %s: %s on %s %s", principal, a.Operation, a.Resource, a.Name)
		}
	}
}
