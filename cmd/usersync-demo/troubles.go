package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"usersync/sync/vendortest"
)

// kind is a sort of trouble.
type kind struct {
	name string
	key  byte
	both bool // it hits both destinations, others one of them
	// begin starts the trouble for v and says in words what happened.
	begin func(d *demo, v *vendor) (string, error)
	// end ends it; nil: there is nothing to end.
	end func(d *demo, v *vendor) (string, error)
}

// killed is the kind for which the worker is down on purpose.
const killed = "kill"

// kinds are all troubles, in the order in which they come by themselves. The kill
// is the last, since it alone can make a dead letter twice.
var kinds = []kind{
	{name: "poison", key: 'p', both: true, begin: plantPoison},
	{
		name: "slow", key: 's',
		begin: func(_ *demo, v *vendor) (string, error) {
			v.fault(vendortest.Rule{Name: "slow", Latency: 3 * time.Second})
			return fmt.Sprintf("%s takes 3s to answer; the worker waits %s for it, so each call may or may not have been applied", v.title, asDemo("timeout")), nil
		},
		end: mended("slow", "answers in time again"),
	},
	{
		name: "down", key: 'd',
		begin: func(_ *demo, v *vendor) (string, error) {
			v.fault(vendortest.Rule{Name: "down", Status: http.StatusServiceUnavailable})
			return v.title + " is down: it answers everything with 503", nil
		},
		end: mended("down", "is up again"),
	},
	{
		name: "key", key: 'k',
		begin: func(_ *demo, v *vendor) (string, error) {
			v.revoke()
			return v.title + " revokes the worker's key: every call is refused", nil
		},
		end: func(_ *demo, v *vendor) (string, error) {
			return "the new key for " + v.title + " is in its file; nobody restarts the worker", v.issue()
		},
	},
	{
		name: "limit", key: 'l',
		begin: func(d *demo, v *vendor) (string, error) {
			allowed := max(1, d.Rate/2)
			v.fault(vendortest.Rule{Name: "limit", Rate: allowed, Status: http.StatusTooManyRequests, RetryAfter: time.Second})
			return fmt.Sprintf("%s allows %.0f calls a second and answers the rest with 429, Retry-After: 1", v.title, allowed), nil
		},
		end: mended("limit", "allows any number of calls again"),
	},
	{
		name: killed, key: 'w', both: true,
		begin: func(d *demo, _ *vendor) (string, error) {
			pid := d.worker.pid()
			d.worker.kill()
			return fmt.Sprintf("kill -9 of the worker (pid %d), in the middle of everything", pid), nil
		},
		end: func(d *demo, _ *vendor) (string, error) {
			if err := d.startWorker(); err != nil {
				return "", err
			}
			return fmt.Sprintf("worker started again (pid %d, http://%s/); Kafka hands it the partitions when the dead one's session ends, after %s",
				d.worker.pid(), d.worker.address, asDemo("kafka.session_timeout")), nil
		},
	},
}

func mended(name, words string) func(*demo, *vendor) (string, error) {
	return func(_ *demo, v *vendor) (string, error) {
		v.mend(name)
		return v.title + " " + words, nil
	}
}

// plantPoison brings a user that both vendors reject, whoever sends it.
func plantPoison(d *demo, _ *vendor) (string, error) {
	id, c := d.db.plant()
	for _, v := range d.vendors {
		v.reject(id)
	}
	d.planted++
	d.kafka.send(c)
	return fmt.Sprintf("user %d arrives, whom both vendors reject", id), d.kafka.flush(context.Background())
}

// chosen turns the names of --trouble into kinds, in their order.
func chosen(names []string) ([]kind, error) {
	var all []string
	for _, k := range kinds {
		all = append(all, k.name)
	}
	for _, name := range names {
		if !slices.Contains(all, name) && name != "all" && name != "none" {
			return nil, fmt.Errorf("--trouble: %q is none of all, none, %s", name, strings.Join(all, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool {
		return !slices.Contains(names, k.name) && !slices.Contains(names, "all")
	}), nil
}

// trouble is one that is planned, goes on, or is over.
type trouble struct {
	kind
	vendor *vendor // whom it is about; nil: both
	at     time.Time
	lasts  time.Duration

	began, ended, healed time.Time
	ends                 offsets // what had been written when it ended
}

// longest is how long a trouble lasts if there is room for it.
const longest = 5 * time.Second

// plan spreads troubles evenly over a time, each over before the next one begins,
// and hits the vendors in turns.
func plan(kinds []kind, vendors []*vendor, begin time.Time, whole time.Duration) []*trouble {
	slot := whole / time.Duration(len(kinds)+1)
	var all []*trouble
	turn := 1
	for i, k := range kinds {
		t := &trouble{kind: k, at: begin.Add(slot/2 + slot*time.Duration(i)), lasts: min(longest, slot*2/3)}
		if !k.both {
			t.vendor = vendors[turn%len(vendors)]
			turn++
		}
		all = append(all, t)
	}
	return all
}

// hits reports whether the trouble is about a vendor.
func (t *trouble) hits(v *vendor) bool { return t.vendor == nil || t.vendor == v }

// running reports whether it has begun and not ended.
func (t *trouble) running() bool { return !t.began.IsZero() && t.ended.IsZero() }

// advance begins and ends the troubles whose time has come, and notes which of
// those that are over are healed: all that was written before their end has been
// dealt with.
func (d *demo) advance(now time.Time) error {
	for _, t := range d.troubles {
		var words string
		var err error
		what := "trouble"
		switch {
		case t.began.IsZero() && !now.Before(t.at):
			// Of two that are alike, one could end what the other has begun.
			if slices.ContainsFunc(d.troubles, func(o *trouble) bool { return o != t && o.running() && o.name == t.name }) {
				t.at = now.Add(time.Second)
				continue
			}
			t.began = now
			words, err = t.begin(d, t.vendor)
			if t.end == nil {
				t.ended, t.ends = now, d.kafka.written()
			}
			d.forget(t)
		case t.running() && now.Sub(t.began) >= t.lasts:
			what = "mended"
			words, err = t.end(d, t.vendor)
			t.ended, t.ends = time.Now(), d.kafka.written()
		case !t.ended.IsZero() && t.healed.IsZero() && d.past(t):
			t.healed = now
			d.screen.logf("healed", "%s: all changes up to its end are dealt with, %s after it", t.name, tenths(now.Sub(t.ended)))
		}
		if err != nil {
			return err
		}
		if words != "" {
			d.screen.logf(what, "%s", words)
		}
	}
	return nil
}

// forget lets the states of the lanes that t is about be told again.
func (d *demo) forget(t *trouble) {
	for _, v := range d.vendors {
		if t.hits(v) {
			delete(d.told, v.destination)
		}
	}
}

// past reports whether every group that t is about has committed what had been
// written when it ended.
func (d *demo) past(t *trouble) bool {
	return !slices.ContainsFunc(d.view.lanes, func(l lane) bool { return t.hits(l.vendor) && !l.committed.covers(t.ends) })
}

// press begins the trouble of a key.
func (d *demo) press(key byte, now time.Time) {
	for _, k := range kinds {
		if k.key != key {
			continue
		}
		t := &trouble{kind: k, at: now, lasts: longest}
		if !k.both {
			d.presses++
			t.vendor = d.vendors[d.presses%len(d.vendors)]
		}
		d.troubles = append(d.troubles, t)
	}
}
