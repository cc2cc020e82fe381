package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	args        []string
	workloads   []workload
	contenders  []contender
	optional    bool // a contender that cannot run is left out
	runs        int
	users       []int
	changes     int
	latencies   []time.Duration
	concurrency []int
	schemas     []bool
	singles     int
	limit       time.Duration
	partitions  int

	json, markdown, plots string
}

// parse reads the command line; the error says which flag is wrong.
func parse(args []string, stderr io.Writer) (options, error) {
	o := options{args: args}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Func("workload", "`names` with commas: hot, flat, skewed, resnapshot (default hot,flat)", each(func(name string) error {
		w, ok := workloadNamed(name)
		o.workloads = append(o.workloads, w)
		return known(ok, name)
	}))
	f.Func("contenders", "`names` with commas: worker, loop, fetch, valid, decode, ordered, pool, parallel-consumer (default all that can run)", each(func(name string) error {
		c, ok := contenderNamed(name)
		o.contenders = append(o.contenders, c)
		return known(ok, name)
	}))
	f.Func("users", "`numbers` with commas, each a cell (default: the workload's)", each(appendInt(&o.users)))
	f.Func("latency", "of a call: `durations` with commas (default 20ms)", each(func(text string) error {
		d, err := time.ParseDuration(text)
		o.latencies = append(o.latencies, d)
		return err
	}))
	f.Func("concurrency", "calls in flight: `numbers` with commas (default 64)", each(appendInt(&o.concurrency)))
	f.Func("schema", "a schema in each record: `off`, on or both (default off)", func(text string) error {
		var ok bool
		o.schemas, ok = map[string][]bool{"off": {false}, "on": {true}, "both": {false, true}}[text]
		return known(ok, text)
	})
	f.IntVar(&o.runs, "runs", 3, "rounds of each cell")
	f.IntVar(&o.changes, "changes", 0, "changes in each cell; 0: the workload's, for so many users")
	f.IntVar(&o.singles, "fresh", 300, "single changes to an idle contender; 0: none")
	f.DurationVar(&o.limit, "limit", 30*time.Second, "who takes longer is cut short, and its time estimated")
	f.IntVar(&o.partitions, "partitions", 6, "of each topic")
	f.StringVar(&o.json, "json", "", "write everything to `FILE`")
	f.StringVar(&o.markdown, "markdown", "", "write the tables to `FILE`, too")
	f.StringVar(&o.plots, "plots", "", "draw into `DIR`")
	whole := f.Bool("all", false, "the whole matrix, where flags don't say otherwise: takes many hours")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.runs < 1 || o.partitions < 1 || o.changes < 0 || o.singles < 0 {
		return o, errors.New("usage: no arguments; runs and partitions are 1 or more; see -help")
	}
	o.complete(*whole)
	return o, nil
}

// complete chooses what the flags leave open.
func (o *options) complete(whole bool) {
	if o.workloads == nil {
		o.workloads = workloads[:2]
		if whole {
			o.workloads = workloads
		}
	}
	if o.latencies == nil {
		o.latencies = []time.Duration{20 * time.Millisecond}
		if whole {
			o.latencies = []time.Duration{20 * time.Millisecond, 5 * time.Millisecond, 200 * time.Millisecond}
		}
	}
	if o.concurrency == nil {
		o.concurrency = []int{64}
		if whole {
			o.concurrency = []int{64, 16, 256}
		}
	}
	if o.schemas == nil {
		o.schemas = []bool{false}
		if whole {
			o.schemas = []bool{false, true}
		}
	}
	if o.users == nil {
		o.users = []int{0}
	}
	if o.contenders == nil {
		o.contenders, o.optional = contenders, true
	}
}

// square is a cell, and the workload that it is of.
type square struct {
	workload workload
	cell     cell
}

// matrix returns the cells. Where nobody is called it does not matter how, and with schemas
// the records of a whole snapshot take gigabytes for each round: they are measured when
// nothing else is asked for.
func (o options) matrix() []square {
	var all []square
	for _, w := range o.workloads {
		latencies, concurrency, schemas := o.latencies, o.concurrency, o.schemas
		if w.again {
			latencies, concurrency, schemas = latencies[:1], concurrency[:1], schemas[:1]
		}
		for _, users := range o.users {
			for _, schema := range schemas {
				for _, latency := range latencies {
					for _, c := range concurrency {
						sized := w.sized(users, o.changes)
						all = append(all, square{sized, cell{Workload: w.name, Changes: sized.changes, Latency: latency, Concurrency: c, Schema: schema}})
					}
				}
			}
		}
	}
	return all
}

// each calls take for each part of a list.
func each(take func(string) error) func(string) error {
	return func(list string) error {
		for part := range strings.SplitSeq(list, ",") {
			if err := take(part); err != nil {
				return err
			}
		}
		return nil
	}
}

func appendInt(to *[]int) func(string) error {
	return func(text string) error {
		n, err := strconv.Atoi(text)
		if err == nil && n < 1 {
			err = errors.New("must be 1 or more")
		}
		*to = append(*to, n)
		return err
	}
}

func known(ok bool, name string) error {
	if !ok {
		return fmt.Errorf("there is no %q", name)
	}
	return nil
}
