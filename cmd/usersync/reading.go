package main

import (
	"context"
	"time"

	"usersync/cmd/internal/app"
)

// The commands that only look.

type auditCommand struct {
	destinationFlag
	Snapshot time.Time `placeholder:"TIME" help:"When a snapshot of the whole table began, such as 2026-01-31T00:00:00Z: whoever has no record since is deleted, and whoever is held nevertheless orphaned."`
	ShowIDs  bool      `name:"show-ids" help:"Print the IDs of users in place of their hashes: personal data."`
	Limit    int       `default:"100" help:"List so many users of each destination; 0: all."`
	JSON     bool      `help:"Print JSON."`
}

// Run audits.
func (c auditCommand) Run(ctx context.Context, std streams) error {
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	o := app.AuditOptions{Snapshot: c.Snapshot, ShowIDs: c.ShowIDs, Limit: c.Limit, JSON: c.JSON}
	return app.Audit(ctx, config, o, std.out, std.err)
}

type explainCommand struct {
	destinationFlag
	Metrics    []string `placeholder:"URL,..." help:"Ask these workers why a change waits, such as http://host:8080/metrics."`
	ShowValues bool     `help:"Print the row and the payloads: personal data."`
	JSON       bool     `help:"Print JSON."`
	User       string   `arg:"" help:"The user's ID, as events.user_id gives it."`
}

// Run explains.
func (c explainCommand) Run(ctx context.Context, std streams) error {
	config, err := c.load(std.err)
	if err != nil {
		return err
	}
	o := app.ExplainOptions{User: c.User, Metrics: c.Metrics, ShowValues: c.ShowValues, JSON: c.JSON}
	return app.Explain(ctx, config, o, std.out, std.err)
}
