package main

import (
	"context"
	"errors"
	"time"

	"usersync/cmd/internal/app"
)

type resyncCommand struct {
	destinationFlag
	All    bool      `help:"All users, of the one destination that --destination names."`
	Resume time.Time `placeholder:"TIME" help:"With --all: go on with a resync that began then, as it has said."`
	DryRun bool      `help:"Only say how many calls it takes, and how long."`
	JSON   bool      `help:"Print JSON."`
	User   string    `arg:"" optional:"" help:"The user's ID, as events.user_id gives it."`
}

// Run asks for a resync.
func (c resyncCommand) Run(ctx context.Context, std streams) error {
	switch {
	case c.All == (c.User != ""):
		return usageError{errors.New("resync: give the ID of a user, or --all")}
	case c.All && c.Destination == "":
		return usageError{errors.New("resync: --all needs --destination")}
	case !c.All && !c.Resume.IsZero():
		return usageError{errors.New("resync: --resume is for --all")}
	}
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	o := app.ResyncOptions{User: c.User, Resume: c.Resume, DryRun: c.DryRun, JSON: c.JSON}
	return app.Resync(ctx, config, o, std.out, std.err)
}

type forgetCommand struct {
	configFlag
	JSON bool   `help:"Print JSON."`
	User string `arg:"" help:"The user's ID, as events.user_id gives it."`
}

// Run forgets.
func (c forgetCommand) Run(ctx context.Context, std streams) error {
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	return app.Forget(ctx, config, c.User, c.JSON, std.out, std.err)
}
