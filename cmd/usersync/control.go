package main

import (
	"context"

	"usersync/cmd/internal/app"
)

// operatorFlags are those of the commands that tell all workers something.
type operatorFlags struct {
	configFlag
	JSON        bool   `help:"Print JSON."`
	Destination string `arg:"" help:"The destination, as in the configuration: taptalk or haptik."`
}

type pauseCommand struct{ operatorFlags }

// Run pauses a destination.
func (c pauseCommand) Run(ctx context.Context, std streams) error {
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	return app.Pause(ctx, config, c.Destination, c.JSON, std.out)
}

type resumeCommand struct{ operatorFlags }

// Run resumes a destination.
func (c resumeCommand) Run(ctx context.Context, std streams) error {
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	return app.Resume(ctx, config, c.Destination, c.JSON, std.out)
}

// offsetsCommand groups what is about the groups' offsets.
type offsetsCommand struct {
	AcceptLoss acceptLossCommand `cmd:"" help:"Show which partitions are halted, why, and what is lost if they go on; with --yes let them go on."`
}

type acceptLossCommand struct {
	operatorFlags
	Partition string `placeholder:"TOPIC/NUMBER" help:"This partition alone."`
	Yes       bool   `help:"Accept what is lost: the owners go on."`
}

// Run shows what halts cost, and accepts it.
func (c acceptLossCommand) Run(ctx context.Context, std streams) error {
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	return app.AcceptLoss(ctx, config, c.Destination, c.Partition, c.Yes, c.JSON, std.out)
}
