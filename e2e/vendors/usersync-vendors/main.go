// Command usersync-vendors serves both simulated vendors, with an API to break
// them and to ask what they were told. What it answers to GET / says how.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

const help = `Both vendors, simulated on the loopback interface. This is the admin API.

  GET  /                 this text
  PUT  /callers/NAME     a caller's base URLs by destination: two ports of its own, so that
                         each call is known by who made it; the same ones when asked again
  GET  /callers          those of all callers
  GET  /users/ID         a user at both vendors: what they hold, and each request about it

For each vendor, here TapTalk; /haptik has the same:

  GET  /taptalk/users    {ID: what it holds}, all at once
  GET  /taptalk/users/ID {current, history, max_overlap}; "order" in the history is that of saving
  GET  /taptalk/calls    {calls, next} from ?since=0, at most ?limit=10000; go on with since=next.
                         A call is there again, with the same "seq", when it was saved or has ended
  GET  /taptalk/stats    {calls, applied, users, in_flight, max_in_flight, max_overlap}
  GET  /taptalk/rules    the script of faults; PUT [RULE] replaces it, POST RULE adds to it
  PUT  /taptalk/keys     [{"id", "secret"}]: no others are valid; [] for all
  GET  /taptalk/knobs    what its documentation leaves open; PUT changes those it names

A rule says when, and what then. All of its fields are in sync/vendortest/rule.go. To break
TapTalk for everybody, to make a third of its calls slow, and to mend both:

  curl -d '{"status": 503}' ADDRESS/taptalk/rules
  curl -d '{"probability": 0.33, "latency": "2s"}' ADDRESS/taptalk/rules
  curl -X PUT -d '[]' ADDRESS/taptalk/rules

It prints ADDRESS when it is ready, and ends with SIGTERM or SIGINT.
`

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`address` of the admin API")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), help, "\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*listen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until a signal comes.
func run(address string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for the admin API: %w", err)
	}
	defer start(l).close()
	fmt.Println("http://" + l.Addr().String())
	<-ctx.Done()
	return nil
}
