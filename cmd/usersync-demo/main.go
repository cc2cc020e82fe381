// Usersync-demo shows usersync at work with nothing installed but Go: a Kafka and
// both vendors inside this process, a user database that changes, the real worker
// as a process of its own, and trouble. At the end it compares both vendors with
// the database, user by user.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"
)

// The exit codes.
const (
	exitFine  = 0
	exitWrong = 1 // a user is wrong, or there was no verdict
	exitUsage = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// options are the flags of the demo.
type options struct {
	Duration time.Duration `default:"40s" help:"How long users change. The snapshot before it and settling after it take about ten seconds each."`
	Users    int           `default:"10000" help:"Users in the database."`
	Rate     float64       `default:"300" help:"Changes a second."`
	Seed     uint64        `default:"1" help:"The same seed makes the same users and changes."`
	Trouble  []string      `default:"all" help:"What goes wrong by itself: all, none, or some of poison, slow, down, key, limit, kill."`
	Brokers  []string      `placeholder:"HOST:PORT" help:"Use this Kafka instead, with topics and groups of the demo's own."`
}

// Validate checks what the flags' types don't.
func (o *options) Validate() error {
	switch {
	case o.Duration <= 0:
		return errors.New("--duration: must be above 0")
	case o.Users < 1 || o.Users >= firstPlanted/2:
		return fmt.Errorf("--users: must be 1 to %d", firstPlanted/2-1)
	case o.Rate < 0:
		return errors.New("--rate: must be at least 0")
	}
	_, err := chosen(o.Trouble)
	return err
}

// commands is the command line: the demo, and what it starts itself as.
type commands struct {
	Demo struct {
		options `embed:""`
	} `cmd:"" default:"withargs" help:"Run the demo."`
	Worker struct {
		Config string `arg:""`
	} `cmd:"" hidden:""`
}

// run is the program, without the process around it; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c commands
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("usersync-demo"),
		kong.Description("Shows usersync at work: an embedded Kafka, two simulated vendors, a user database, the real worker, and trouble."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }), // after --help
	)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitWrong
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	right := true
	if command.Selected().Name == workerName {
		err = runWorker(stdin, stderr, c.Worker.Config)
	} else {
		right, err = show(c.Demo.options, stdin, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	if err != nil || !right {
		return exitWrong
	}
	return exitFine
}

// show runs the demo on a terminal or on plain streams. The first interrupt asks
// for the verdict, the second one gives up.
func show(o options, stdin io.Reader, stdout io.Writer) (right bool, err error) {
	ctx, verdict := context.WithCancel(context.Background())
	defer verdict()
	hard, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	interrupt := func() {
		if ctx.Err() != nil {
			giveUp()
		}
		verdict()
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		for range signals {
			interrupt()
		}
	}()

	screen := newScreen(stdout)
	keys := make(chan byte, 8)
	in, out := terminal(stdin), terminal(stdout)
	if in >= 0 && out >= 0 {
		state, err := term.MakeRaw(in)
		if err != nil {
			return false, fmt.Errorf("terminal: %w", err)
		}
		defer func() {
			err = errors.Join(err, term.Restore(in, state))
		}()
		screen.live, screen.width = true, func() int { return columns(out) }
		go listen(stdin, interrupt, keys)
	}
	d := &demo{options: o, screen: screen}
	return d.run(ctx, hard, keys)
}

// terminal returns the descriptor of a stream that is a terminal, else -1.
func terminal(stream any) int {
	f, ok := stream.(*os.File)
	if ok && term.IsTerminal(int(f.Fd())) {
		return int(f.Fd())
	}
	return -1
}

func columns(fd int) int {
	if width, _, err := term.GetSize(fd); err == nil && width > 0 {
		return width
	}
	return 80
}

// listen hands on the keys that are pressed. In raw mode Ctrl-C is one of them.
// It never ends before the process does: a terminal cannot be told to stop reading.
func listen(stdin io.Reader, interrupt func(), keys chan<- byte) {
	const ctrlC = 3
	var b [1]byte
	for {
		if _, err := stdin.Read(b[:]); err != nil {
			return
		}
		switch b[0] {
		case ctrlC, 'q':
			interrupt()
		default:
			select {
			case keys <- b[0]:
			default: // nobody takes them any more; Ctrl-C must still come through
			}
		}
	}
}
