package main

import (
	"time"

	"usersync/cmd/internal/app"
)

type planCommand struct {
	Config      string        `short:"c" placeholder:"FILE" help:"The configuration file; without it the defaults, and both destinations."`
	Users       int64         `required:"" placeholder:"N" help:"Rows of the table."`
	Changes     float64       `required:"" placeholder:"N" help:"Changes of rows, a second, on average."`
	Latency     time.Duration `default:"200ms" placeholder:"TIME" help:"How long a vendor takes to answer a call (default: ${default})."`
	Outage      time.Duration `default:"1h" placeholder:"TIME" help:"How long a vendor may be down, or all workers (default: ${default})."`
	RateLimit   *float64      `placeholder:"N" help:"Calls a second of each destination, in place of what is configured; 0: no limit."`
	Concurrency int           `placeholder:"N" help:"Calls in flight of each process and destination, in place of what is configured."`
	Replicas    int           `placeholder:"N" help:"Processes, if it is settled how many."`
	Partitions  int           `placeholder:"N" help:"Partitions of the source, if it is settled how many."`
	JSON        bool          `help:"Print JSON, with times in seconds."`
}

// Run plans.
func (c planCommand) Run(std streams) error {
	var config *app.Config // the defaults
	if c.Config != "" {
		var err error
		if config, err = (configFlag{c.Config}).load(std.err); err != nil {
			return err
		}
	}
	return app.Plan(config, app.PlanOptions{
		Users: c.Users, Changes: c.Changes, Latency: c.Latency, Outage: c.Outage,
		RateLimit: c.RateLimit, Concurrency: c.Concurrency, Replicas: c.Replicas, Partitions: c.Partitions, JSON: c.JSON,
	}, std.out)
}
