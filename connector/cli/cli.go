// Package cli is waltap's command line.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/waltap/waltap/connector"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // the command ran and failed
	exitUsage   = 2 // the command line or the configuration is wrong
	// exitDifferent is of commands that compare (verify, repair, migrate, schema), whose other failures are all exitFailure; of
	// schema's, a command line that cannot be parsed has the same code.
	exitDifferent = 2
)

type commands struct {
	Run           runCommand         `cmd:"" help:"Run the connectors of a configuration file until SIGINT or SIGTERM."`
	Worker        workerCommand      `cmd:"" help:"Be one of the workers of a group (docs/workers.md) until SIGINT or SIGTERM: they share the connectors that are created over REST."`
	Connectors    connectorsCommands `cmd:"" help:"Create, look at and control connectors, over the REST API of a worker (docs/rest.md)."`
	Signal        signalCommands     `cmd:"" help:"Send a source a signal, over the REST API of a worker: scan again, pause, limit (docs/rest.md)."`
	Peer          peerCommands       `cmd:"" help:"Look at and change waltap's replication peers. Needs neither a worker nor Kafka."`
	Offsets       offsetsCommands    `cmd:"" help:"Look at and move the offsets of a sink's consumer group."`
	Dlq           dlqCommands        `cmd:"" name:"dlq" help:"Look at dead letters, and put them back."`
	Verify        verifyCommand      `cmd:"" help:"Compare tables of two HBase clusters. Exit code 0: equal, 1: it could not be carried through, 2: they differ."`
	Repair        repairCommand      `cmd:"" help:"Make what differs at the target like the source. Prints what it would write; --execute writes. Exit code 0: nothing differs (any more), 1: it could not be carried through, 2: something differs."`
	Schema        schemaCommands     `cmd:"" help:"Take table definitions from one cluster to another (docs/schema.md). Needs neither a worker nor Kafka."`
	Migrate       migrateCommands    `cmd:"" help:"Move tables to another cluster: plan, copy, follow, verify, cut over, clean up (docs/migrate.md)."`
	Doctor        doctorCommand      `cmd:"" help:"Look at everything that a configuration depends on, and say what is wrong and how to mend it (docs/doctor.md). Changes nothing. Exit code 0: nothing is wrong, 1: it could not be carried through, 2: the command line or the configuration is wrong, 3: warnings, 4: failures."`
	Tail          tailCommand        `cmd:"" help:"Show the records of a topic, decoded, until Ctrl-C."`
	Decode        decodeCommand      `cmd:"" help:"Show one record value that is in a file."`
	HFile         hfileCommand       `cmd:"" name:"hfile" help:"Look into an HFile, a file that HBase keeps a store's cells in, without HBase: what it says of itself, its cells, and whether it is whole (docs/hfile.md)."`
	HBaseSnapshot snapshotCommand    `cmd:"" name:"hbase-snapshot" help:"Look at a snapshot of HBase's in its files: regions, files, cells (docs/snapshot-files.md). Needs no running HBase."`
	ACLs          aclsCommand        `cmd:"" name:"acls" help:"Print the kafka-acls.sh commands that give a configuration's user the rights it needs (docs/kafka-acls.md)."`
	Completion    completionCommand  `cmd:"" help:"Print the script that completes waltap's command lines in a shell."`
	Version       versionCommand     `cmd:"" help:"Print the version."`
}

// env is what commands get beside their flags.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
	stdin          io.Reader
}

// usageError is a fault of the command line or the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitError ends the process with a code of its own. What it says is told, unless it says nothing: then all has been written.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// different ends the process with exitDifferent; nil: what differs has been written.
func different(err error) error { return exitError{exitDifferent, err} }

// judges tells whether the command of args tells by exitDifferent what it has found.
func judges(args []string) bool {
	return len(args) > 0 && (args[0] == "verify" || args[0] == "repair" || args[0] == "migrate")
}

// Main runs the command of args and returns the process's exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	var cmds commands
	code := -1
	parser, err := kong.New(&cmds,
		kong.Name("waltap"), kong.Description("Change data capture and live migration for Apache HBase over Kafka."),
		kong.UsageOnError(), kong.Writers(stdout, stderr), kong.Exit(func(c int) { code = c }))
	if err != nil {
		fmt.Fprintln(stderr, "waltap:", err)
		return exitUsage
	}
	if len(args) > 0 && args[0] == completeCommand {
		complete(parser.Model, args[1:], stdout)
		return exitOK
	}
	showExamples(parser.Model)
	kctx, err := parser.Parse(args)
	if code >= 0 { // --help was answered
		return code
	}
	if err != nil {
		fmt.Fprintln(stderr, "waltap:", err, "(waltap --help shows the commands)")
		if judges(args) {
			return exitFailure
		}
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = kctx.Run(&env{ctx: ctx, stdout: stdout, stderr: stderr, stdin: os.Stdin})
	var usage usageError
	var exit exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintln(stderr, "waltap:", err)
		}
		return exit.code
	case errors.As(err, &usage) && !judges(args):
		fmt.Fprintln(stderr, "waltap:", err)
		return exitUsage
	default:
		fmt.Fprintln(stderr, "waltap:", err)
		return exitFailure
	}
}

type versionCommand struct{}

func (versionCommand) Run(e *env) error {
	_, err := fmt.Fprintln(e.stdout, "waltap", connector.Version)
	return err
}
