package main

import (
	"context"
	"errors"
	"time"

	"usersync/cmd/internal/app"
)

// lettersCommand is about what was given up.
type lettersCommand struct {
	List    lettersListCommand    `cmd:"" help:"List the dead letters, oldest first, with users as hashes. One that a newer change of its user follows is marked as superseded, and one whose record the source no longer has as gone."`
	Show    lettersShowCommand    `cmd:"" help:"Show one dead letter."`
	Replay  lettersReplayCommand  `cmd:"" help:"Have dead letters delivered after all, each to its own destination, by the running workers. One that a newer change of its user follows, or may have followed, is refused. It can be repeated and goes on where it stopped."`
	Discard lettersDiscardCommand `cmd:"" help:"Record that nothing is to be done about dead letters. They stay in the topic."`
	Accept  lettersAcceptCommand  `cmd:"" help:"Let what a destination's workers have given up until now be written, also where there is more than dead_letters.budget. Look at the cause first: a dead letter cannot be taken back."`
}

// letterFilter chooses dead letters.
type letterFilter struct {
	Destination string    `placeholder:"NAME" help:"Those of this destination."`
	Reason      string    `placeholder:"REASON" help:"Those that were given up for this reason, such as rejected."`
	User        string    `placeholder:"ID" help:"Those of this user, by the ID that the database has."`
	Since       time.Time `placeholder:"TIME" help:"Those given up at this time or later, such as 2026-01-31T00:00:00Z."`
	Until       time.Time `placeholder:"TIME" help:"Those given up before this time."`
}

func (f letterFilter) filter(status string, ids []string) app.LetterFilter {
	return app.LetterFilter{
		IDs: ids, Destination: f.Destination, Reason: f.Reason, User: f.User, Status: status, Since: f.Since, Until: f.Until,
	}
}

type lettersListCommand struct {
	configFlag
	letterFilter
	Status string `enum:"open,replayed,discarded,any" default:"any" help:"Those of this status: ${enum}."`
	JSON   bool   `help:"Print JSON."`
}

// Run lists dead letters.
func (c lettersListCommand) Run(ctx context.Context, std streams) error {
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	if c.Status == "any" {
		c.Status = ""
	}
	return app.ListLetters(ctx, config, c.filter(c.Status, nil), c.JSON, std.out, std.err)
}

type lettersShowCommand struct {
	configFlag
	ID         string `arg:"" help:"The dead letter: PARTITION/OFFSET, as list shows it."`
	ShowValues bool   `help:"Also print its key, value and headers, which hold personal data."`
	JSON       bool   `help:"Print JSON."`
}

// Run shows a dead letter.
func (c lettersShowCommand) Run(ctx context.Context, std streams) error {
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	return app.ShowLetter(ctx, config, c.ID, c.ShowValues, c.JSON, std.out, std.err)
}

// letterChoice chooses dead letters that something is to be done with.
type letterChoice struct {
	configFlag
	letterFilter
	All    bool     `help:"All, if nothing else chooses."`
	DryRun bool     `help:"Only say what would be done."`
	JSON   bool     `help:"Print JSON."`
	IDs    []string `arg:"" optional:"" name:"id" help:"Dead letters: PARTITION/OFFSET, as list shows them."`
}

// choose returns the configuration and the filter. To do something with all takes a
// word of its own.
func (c letterChoice) choose(std streams) (*app.Config, app.LetterFilter, error) {
	if len(c.IDs) == 0 && c.letterFilter == (letterFilter{}) && !c.All {
		return nil, app.LetterFilter{}, usageError{errors.New("dead-letters: which? Name some, choose by a flag such as --reason, or give --all")}
	}
	config, err := c.load(std.err)
	return config, c.filter("", c.IDs), err
}

type lettersReplayCommand struct {
	letterChoice
	Again bool `help:"Replay those that are named once more, if they were replayed before: the workers have passed them over (usersync_retry_records_total)."`
}

// Run replays dead letters.
func (c lettersReplayCommand) Run(ctx context.Context, std streams) error {
	if c.Again && len(c.IDs) == 0 {
		return usageError{errors.New("dead-letters replay --again: which? Name them")}
	}
	config, filter, err := c.choose(std)
	if err != nil {
		return err
	}
	filter.Again = c.Again
	return app.ReplayLetters(ctx, config, filter, c.DryRun, c.JSON, std.out, std.err)
}

type lettersDiscardCommand struct{ letterChoice }

// Run discards dead letters.
func (c lettersDiscardCommand) Run(ctx context.Context, std streams) error {
	config, filter, err := c.choose(std)
	if err != nil {
		return err
	}
	return app.DiscardLetters(ctx, config, filter, c.DryRun, c.JSON, std.out, std.err)
}

type lettersAcceptCommand struct{ operatorFlags }

// Run accepts what was given up.
func (c lettersAcceptCommand) Run(ctx context.Context, std streams) error {
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	return app.AcceptLetters(ctx, config, c.Destination, c.JSON, std.out)
}
