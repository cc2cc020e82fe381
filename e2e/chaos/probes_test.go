package chaos

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"usersync/e2e/ledger"
	"usersync/e2e/pipeline"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// probes take samples all along.
type probes struct {
	stall     ledger.Stall
	lag       ledger.Lag
	memory    ledger.Memory
	isolation ledger.Isolation
	privacy   ledger.Privacy
	held      map[string]time.Time // by destination: when a worker last held it, or was told to call it slowly
	fed       map[string]int       // by probe: samples in which it could have found something
}

func newProbes() probes {
	return probes{
		// A session, 15 s to join and read, the longest that a worker is cut off, and a
		// machine that is busy.
		stall: ledger.Stall{Limit: 60 * time.Second},
		// The longest doubt, and another one if the call that should end it is lost too.
		// A new owner's wait for its predecessor does not count, see watchLag.
		lag:       ledger.Lag{Limit: 60 * time.Second},
		memory:    ledger.Memory{Limit: resides},
		isolation: ledger.Isolation{Limit: soloFor - 2*time.Second},
		privacy:   ledger.Privacy{Planted: []string{marker, dialed, normalized, secret}},
		held:      map[string]time.Time{},
		fed:       map[string]int{},
	}
}

// resides is what a worker may hold in all: two windows, what was fetched for them, and
// 96 MiB for everything else. One of sixteen rounds of a soak came to 190 MiB. The
// windows are never full here. Small ones would be, and then a new owner calls before
// it has read what the last one delivered, see G3.
const resides = 256 << 20

// sampled takes what a worker has said of itself.
func (r *round) sampled(s sample) {
	r.private("metrics of "+s.Name, s.metrics)
	sum := func(name string, labels ...string) float64 {
		v, series, err := worker.Sum(s.metrics, name, labels...)
		if err != nil {
			r.t.Fatal(err)
		}
		if series == 0 && s.ready {
			r.t.Fatalf("seed %d: %s is ready and has no metric %s with %v", r.seed, s.Name, name, labels)
		}
		return v
	}
	if rss := resident(s.metrics); rss > 0 {
		r.probes.fed["memory"]++
		r.report.PeakRSS = max(r.report.PeakRSS, rss)
		r.find(r.probes.memory.Check(s.at, s.Name, "", rss)...)
	}
	for _, d := range vendors.Destinations {
		of := label("destination", d)
		flows := 0.0
		for _, state := range []string{"running", "latched", "unmapped"} {
			flows += sum("lane_state", of, label("reason", state))
		}
		// After a 429 or an outage the rate grows from a small one, and what ends a doubt
		// waits in the same queue as everything else.
		slow := sum("rate_limit_calls_per_second", of) > 0 && sum("queue_users", of) > 0
		if flows == 0 || slow {
			r.probes.held[d] = s.at
		}
		// A worker with fewer partitions than there are workers has none of this one.
		lag, _, err := worker.Sum(s.metrics, "consumer_lag_records", of)
		if err != nil {
			r.t.Fatal(err)
		}
		w := ledger.Work{
			At: s.at, Worker: s.Name, Destination: d, Held: flows == 0 || !s.frozen.IsZero() || !s.told.IsZero(),
			Waiting: int64(lag),
			Settled: int64(sum("deliveries_total", of) - sum("deliveries_total", of, label("outcome", "dropped"))),
		}
		if !w.Held && w.Waiting > 0 {
			r.probes.fed["stall"]++
		}
		r.find(r.probes.stall.Add(w)...)
		r.report.PeakWaiting = max(r.report.PeakWaiting, int64(sum("queue_bytes", of)))
		r.isolated(s, d, sum("oldest_pending_event_timestamp_seconds", of))
	}
}

// isolated looks at one vendor while the other one alone is down.
func (r *round) isolated(s sample, destination string, oldest float64) {
	at := s.at.Sub(r.began)
	if r.began.IsZero() || at < soloAt || at > soloAt+soloFor || !s.ready {
		return
	}
	broken := solo(r.seed)
	if destination == broken {
		return
	}
	r.probes.fed["isolation"]++
	if oldest == 0 {
		return // nothing waits
	}
	// What it waited for before has other reasons.
	age := min(at-soloAt, s.at.Sub(time.UnixMilli(int64(1000*oldest))))
	r.report.Oldest = max(r.report.Oldest, age.Seconds())
	r.find(r.probes.isolation.Check(s.at, broken, destination, age)...)
}

// doubt is the workers' retry.confirm_after.
const doubt = 15 * time.Second

// accepts is how old the last accepted commit of a partition may be: they are at most
// five seconds apart, and merged a little later.
const accepts = 10 * time.Second

// watchLag looks whether commits follow what is settled. Time after partitions may
// have got new owners does not count: these have to wait for calls of the last ones,
// and where owners follow each other more quickly than that, nobody may commit. Nor
// does time in which nobody can commit, with brokers down and workers frozen: that
// ends with them, and calls end with commits, so the probe of stalls looks at it.
func (r *round) watchLag(now time.Time) {
	for _, d := range vendors.Destinations {
		for _, tp := range r.books.Partitions() {
			p := ledger.Progress{
				At: now, Destination: d, Partition: fmt.Sprint(tp),
				Committed: r.books.Committed(d, tp), Settled: r.books.Settled(d, tp),
				Held: now.Sub(r.probes.held[d]) < 2*time.Second || now.Sub(r.books.regrouped[d]) < doubt ||
					now.Sub(r.books.accepted[owned{d, tp}]) > accepts,
			}
			if !p.Held {
				r.probes.fed["lag"]++
			}
			r.find(r.probes.lag.Add(p)...)
		}
	}
}

// checkFed fails the round if a probe has found nothing since it was never shown
// anything, such as a metric of another name.
func (r *round) checkFed() {
	least := map[string]int{"memory": 10, "stall": 1, "lag": partitions, "private": 10}
	if r.length > soloAt+soloFor {
		least["isolation"] = 3
	}
	if r.keeps {
		// Users who go back and forth alone are some thousand; and what was read again
		// after a takeover.
		least["unchanged"], least["compacted"] = 500, 1
	}
	for _, d := range vendors.Destinations {
		if r.keeps {
			least["audit of "+d] = users / 2
		}
		r.probes.fed["unchanged"] += r.books.unchanged[d]
	}
	for probe, n := range least {
		if got := r.probes.fed[probe]; got < n {
			r.t.Errorf("seed %d: only %d samples for the probe of %s, want %d", r.seed, got, probe, n)
		}
	}
}

func (r *round) private(where, text string) {
	if text != "" {
		r.probes.fed["private"]++
	}
	r.find(r.probes.privacy.Scan(where, text)...)
}

// resident is a process's memory by its metrics.
func resident(metrics string) int64 {
	_, after, _ := strings.Cut(metrics, "\nprocess_resident_memory_bytes ")
	value, _, _ := strings.Cut(after, "\n")
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0
	}
	return int64(v)
}

func label(name, value string) string { return fmt.Sprintf("%s=%q", name, value) }

// compare is G1: each row, mapped by other means than the worker's, is what both
// vendors hold, or a dead letter for its newest change says why not.
func (r *round) compare(db *pgxpool.Pool) {
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	rows, err := pipeline.Rows(ctx, db)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(rows) < users/2 {
		r.t.Errorf("the table has only %d rows", len(rows))
	}
	excused := 0
	for _, d := range vendors.Destinations {
		held := r.d.Vendors.Users(d)
		for id := range held {
			if people()[worker.Hash(id)] == 0 {
				r.t.Errorf("seed %d: G1: %s holds user %s, whom nobody wrote", r.seed, d, id)
			}
		}
		for _, row := range rows {
			if row.Email == poison(d) {
				excused++
				continue
			}
			got, want := held[row.ID], row.Sent(d)
			if reflect.DeepEqual(got, want) {
				continue
			}
			if r.report.Wrong++; got == nil {
				r.report.Lost++
			}
			if r.report.Wrong <= 5 {
				r.t.Errorf("seed %d: G1: %s: user %s, %s in traces, is\n%v, want\n%v", r.seed, d, row.ID, worker.Hash(row.ID), got, want)
			}
		}
	}
	if r.report.Wrong > 5 {
		r.t.Errorf("seed %d: G1: %d users are wrong in all", r.seed, r.report.Wrong)
	}
	if excused == 0 {
		r.t.Errorf("seed %d: nobody is poison at the end: G4 was not tested", r.seed)
	}
}
