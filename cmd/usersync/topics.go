package main

import (
	"context"
	"errors"

	"usersync/cmd/internal/app"
)

type topicsCommand struct {
	configFlag
	Create            bool  `help:"Make those that are missing, except the source, as they should be. What exists is never changed, so it can be repeated."`
	ReplicationFactor int16 `placeholder:"N" help:"With --create: how many brokers keep each; from 3 on with min.insync.replicas=2. Otherwise the brokers decide."`
	JSON              bool  `help:"Print JSON."`
}

// Run looks at the topics.
func (c topicsCommand) Run(ctx context.Context, std streams) error {
	switch {
	case c.ReplicationFactor < 0:
		return usageError{errors.New("topics: --replication-factor must be at least 1; without it the brokers decide")}
	case c.ReplicationFactor > 0 && !c.Create:
		return usageError{errors.New("topics: --replication-factor is for --create")}
	}
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	return app.Topics(ctx, config, app.TopicsOptions{Create: c.Create, Replicas: int(c.ReplicationFactor), JSON: c.JSON}, std.out)
}
