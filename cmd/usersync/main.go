// Usersync brings the copies of a company's users that outside services hold up
// to date. It translates flags and signals; what happens is package app's.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"usersync/cmd/internal/app"
	"usersync/consumer/trace"
)

// The exit codes.
const (
	exitFine   = 0
	exitFailed = 1
	exitUsage  = 2 // usage or configuration: the same command cannot succeed later
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// commands is the command line.
type commands struct {
	Run     runCommand     `cmd:"" help:"Bring the users that the destinations hold up to date, until SIGTERM or SIGINT. The first lets calls in flight end and leaves the group, the second stops at once."`
	Check   checkCommand   `cmd:"" help:"Check the configuration and print what is wrong with it."`
	Topics  topicsCommand  `cmd:"" help:"List the topics that the configuration needs, what each should be, what is there and what is wrong; with --create make those that are missing. Exits with 1 if any is missing or wrong."`
	Map     mapCommand     `cmd:"" help:"Read records on standard input, one a line, and print the requests that each would cause; or compare two mappings with --diff. Nothing is sent; what is printed for records holds personal data."`
	Pause   pauseCommand   `cmd:"" help:"Make no call to a destination, in any worker, until it is resumed. What comes in waits; offsets and sessions are kept."`
	Resume  resumeCommand  `cmd:"" help:"End a pause."`
	Offsets offsetsCommand `cmd:"" help:"What is about the offsets of the consumer groups."`
	Letters lettersCommand `cmd:"" name:"dead-letters" help:"Look at what was given up, and have it delivered after all."`
	Audit   auditCommand   `cmd:"" help:"Find out of each user whether the destinations hold what the newest row says, as far as Kafka knows, and list those who are wrong, waiting or given up. Reads the source topics to their ends; exits with 1 if anybody is not in sync."`
	Explain explainCommand `cmd:"" help:"Say why each destination holds, or does not hold, what the newest row of a user says: the newest change, what waits and why, dead letters, what would be sent now. Reads the source topics to their ends."`
	Resync  resyncCommand  `cmd:"" help:"Have the workers send the newest row of a user, or of all, once more: a vendor was restored, or edited by hand."`
	Forget  forgetCommand  `cmd:"" help:"Remove what is kept of a user, for an erasure request, and list what Kafka still holds and until when; exits with 1 if anything remains."`
	Plan    planCommand    `cmd:"" help:"Say how many processes, partitions and calls in flight it takes for so many users and changes, how much memory, and how long a snapshot and the time after an outage last, with the reasons. Asks nobody; exits with 1 if it cannot work."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// configFlag is the flag of every command that needs a configuration.
type configFlag struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"The configuration file."`
}

// load loads the configuration and prints the warnings.
func (f configFlag) load(stderr io.Writer) (*app.Config, error) {
	c, warnings, err := app.Load(f.Config, os.LookupEnv)
	if err != nil {
		return nil, usageError{err}
	}
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %v\n", w)
	}
	return c, nil
}

// destinationFlag is the flag of commands that can be about one destination.
type destinationFlag struct {
	configFlag
	Destination string `placeholder:"NAME" help:"This destination and no other."`
}

// load leaves the destination that is named in the configuration.
func (f destinationFlag) load(stderr io.Writer) (*app.Config, error) {
	c, err := f.configFlag.load(stderr)
	if err != nil || f.Destination == "" {
		return c, err
	}
	if err := c.Only(f.Destination); err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

type runCommand struct {
	destinationFlag
	Trace string `placeholder:"FILE" help:"For incident analysis: append each call, commit, dead letter and rebalance to this file, as a line of JSON, with users as the hash that logs have."`
}

// Run runs the worker.
func (c runCommand) Run(ctx context.Context, std streams) error {
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	var traces io.Writer
	if c.Trace != "" {
		f, err := trace.Open(c.Trace)
		if err != nil {
			return err
		}
		defer f.Close() // every line is written by then
		traces = f
	}
	defer collect()()
	ctx, hard, stop := signals(ctx)
	defer stop()
	return app.Run(ctx, hard, config, std.err, traces)
}

type checkCommand struct {
	Config        string `short:"c" required:"" xor:"input" placeholder:"FILE" help:"The configuration file."`
	Connect       bool   `help:"Also ask the brokers whether the topics are as they must be."`
	PrintDefaults bool   `required:"" xor:"input" help:"Print a complete configuration file with every default."`
}

// Run checks the configuration. What it finds is its output, so warnings go to
// standard output here.
func (c checkCommand) Run(ctx context.Context, std streams) error {
	if c.PrintDefaults {
		return app.PrintDefaults(std.out)
	}
	config, err := (configFlag{c.Config}).load(std.out)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(std.out, "%s: ok\n", c.Config); err != nil || !c.Connect {
		return err
	}
	return app.Connect(ctx, config, std.out)
}

type mapCommand struct {
	Config string `short:"c" required:"" xor:"input" placeholder:"FILE" help:"The configuration file."`
	Diff   string `required:"" xor:"input" placeholder:"OLD" help:"Compare two configurations instead: map --diff OLD NEW reads the source topic to its end, maps the newest row of each user with both, and says how many payloads differ and how long it takes to send these."`
	JSON   bool   `help:"With --diff: print JSON."`
	New    string `arg:"" optional:"" help:"With --diff: the configuration file to come, which also says where the brokers are."`
}

// Run maps the records on standard input, or compares two mappings.
func (c mapCommand) Run(ctx context.Context, std streams) error {
	if (c.Diff == "") != (c.New == "") || c.JSON && c.Diff == "" {
		return usageError{errors.New("map: two files are compared by --diff OLD NEW, and --json is for that only")}
	}
	config, err := (configFlag{c.Config + c.New}).load(std.err)
	if err != nil {
		return err
	}
	if c.Diff == "" {
		return app.Map(ctx, config, std.in, std.out)
	}
	last, err := (configFlag{c.Diff}).load(std.err)
	if err != nil {
		return err
	}
	return app.MapDiff(ctx, last, config, c.JSON, std.out, std.err)
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(std streams) error {
	_, err := fmt.Fprintln(std.out, version())
	return err
}

// streams are the standard ones.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is an error of the command line or the configuration.
type usageError struct{ error }

// run is the program, without the process around it; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c commands
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("usersync"),
		kong.Description("Brings the users that TapTalk and Haptik hold up to date with a database's changes in Kafka."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }), // after --help
		kong.Bind(streams{stdin, stdout, stderr}),
		kong.BindTo(context.Background(), (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		err = usageError{err}
	} else {
		err = command.Run()
	}
	if err == nil {
		return exitFine
	}
	fmt.Fprintln(stderr, err)
	_, usage := errors.AsType[usageError](err)
	_, config := errors.AsType[app.Problem](err)
	if usage || config {
		return exitUsage
	}
	return exitFailed
}
