package app

import (
	"fmt"
	"io"
	"time"
)

// resyncReport says what was asked for.
type resyncReport struct {
	DryRun       bool                `json:"dry_run"`
	Since        time.Time           `json:"since"` // what --resume takes
	Destinations []resyncDestination `json:"destinations"`
}

// resyncDestination is about one destination.
type resyncDestination struct {
	Name    string `json:"destination"`
	Users   int    `json:"users"` // to be sent
	Effort  string `json:"effort"`
	Asked   int    `json:"asked"`
	Before  int    `json:"asked_before"` // by the resync that this one goes on with
	Nothing int    `json:"nothing_to_send"`
}

func (r *resyncReport) print(w io.Writer) {
	for _, y := range r.Destinations {
		verb, users := "the workers are asked to send", y.Asked
		if r.DryRun {
			verb, users = "would be sent:", y.Users
		}
		fmt.Fprintf(w, "%s: %s %s users: %s\n", y.Name, verb, grouped(int64(users)), y.Effort)
		if y.Before > 0 {
			fmt.Fprintf(w, "%s: %s were asked for before\n", y.Name, grouped(int64(y.Before)))
		}
		if y.Nothing > 0 {
			fmt.Fprintf(w, "%s: nothing can be sent for %s, who are deleted, undecodable or have no payload\n", y.Name, grouped(int64(y.Nothing)))
		}
	}
}
