package main

import (
	"context"
	"time"
)

// view is what the demo last saw.
type view struct {
	at      time.Time
	records int64 // in the topic
	perSec  float64
	lanes   []lane
}

// lane is one destination in a view.
type lane struct {
	vendor    *vendor
	state     string // as the worker says; "down" when it does not
	inFlight  int
	calls     int     // requests that the vendor received
	perSec    float64 // of them, lately
	committed offsets
	lag       int64
	saved     int64 // changes that cost no call of their own
	planted   int   // users in the dead-letter topic who belong there
	others    int   // and who don't
	right     int   // users that the vendor holds exactly as the database does
	users     int
}

// look sees where everything stands. Kafka, the vendors and the database are asked
// themselves; the worker says only what nobody else can know.
func (d *demo) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	last := d.view
	v := view{at: time.Now(), records: d.kafka.written().sum()}
	span := v.at.Sub(last.at).Seconds()
	v.perSec = float64(v.records-last.records) / span
	said, down := d.worker.scrape(ctx)
	users, tally := d.db.users(), d.db.tally()
	for _, before := range last.lanes {
		stats := before.vendor.sim.Stats()
		l := lane{
			vendor: before.vendor, state: "down", calls: stats.Calls,
			perSec: float64(stats.Calls-before.calls) / span,
			right:  before.vendor.right(users), users: len(users),
		}
		if down == nil {
			l.state, l.inFlight = said.state(l.vendor.destination), said.inFlight(l.vendor.destination)
		}
		var err error
		if l.committed, err = d.kafka.committed(ctx, l.vendor.destination); err != nil {
			l.committed = before.committed // the coordinator will answer next time
		}
		l.lag = max(0, v.records-l.committed.sum())
		l.planted, l.others = d.letters.of(l.vendor.destination)
		// Of what was dealt with, a delete and its tombstone never cost a call. While
		// calls run ahead of commits it looks like less than it is.
		needed := l.committed.sum() - int64(2*tally.deletes+l.planted+l.others)
		l.saved = max(before.saved, needed-int64(stats.Applied))
		v.lanes = append(v.lanes, l)
		d.tell(l)
	}
	d.view = v
}

// inWords are the states of a lane that deserve a line.
var inWords = map[string]string{
	"failed":    "held: it fails for everyone, so no user is to blame; it is probed now and then",
	"refused":   "held: it refuses the credentials, so no user is to blame; it is probed now and then, with the key read anew",
	"rejected":  "held: it rejects everyone, so no user is to blame; it is probed now and then",
	"throttled": "slower: it asked for fewer calls",
	"latched":   "latched: too many users fail at once to be a coincidence; none is given up",
}

// tell logs the state of a lane, once for each trouble.
func (d *demo) tell(l lane) {
	words, ok := inWords[l.state]
	told := d.told[l.vendor.destination]
	if !ok || told[l.state] {
		return
	}
	if told == nil {
		told = map[string]bool{}
		d.told[l.vendor.destination] = told
	}
	told[l.state] = true
	d.screen.logf("worker", "the lane to %s is %s", l.vendor.title, words)
}
