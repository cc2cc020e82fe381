package chaos

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"usersync/consumer/trace"
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
	held      map[string]time.Time // by destination: when a worker last held it
	fed       map[string]int       // by probe: samples in which it could have found something
}

func newProbes() probes {
	return probes{
		// A session, 15 s to join and read, the longest that a worker is cut off, and a
		// machine that is busy.
		stall: ledger.Stall{Limit: 60 * time.Second},
		// The longest doubt, and another one if the call that should end it is lost too.
		// A new owner's wait for its predecessor does not count, see watchLag.
		lag: ledger.Lag{Limit: 60 * time.Second},
		// Two windows and what was fetched for them, and 96 MiB for everything else.
		memory:    ledger.Memory{Limit: 256 << 20},
		isolation: ledger.Isolation{Limit: soloFor - 2*time.Second},
		privacy:   ledger.Privacy{Planted: []string{marker, secret}},
		held:      map[string]time.Time{},
		fed:       map[string]int{},
	}
}

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
		if flows == 0 {
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
	// What it waited for before has to do with late calls of its own.
	age := min(at-soloAt, s.at.Sub(time.UnixMilli(int64(1000*oldest))))
	r.report.Oldest = max(r.report.Oldest, age.Seconds())
	r.find(r.probes.isolation.Check(s.at, broken, destination, age)...)
}

// doubt is the workers' retry.confirm_after.
const doubt = 15 * time.Second

// watchLag looks whether commits follow what is settled. Time after partitions may
// have got new owners does not count: these have to wait for calls of the last ones,
// and where owners follow each other more quickly than that, nobody may commit.
func (r *round) watchLag(now time.Time) {
	for _, d := range vendors.Destinations {
		for _, tp := range r.books.Partitions() {
			p := ledger.Progress{
				At: now, Destination: d, Partition: fmt.Sprint(tp),
				Committed: r.books.Committed(d, tp), Settled: r.books.Settled(d, tp),
				Held: now.Sub(r.probes.held[d]) < 2*time.Second || now.Sub(r.books.regrouped[d]) < doubt,
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
			if people()[hashed(id)] == 0 {
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
				r.t.Errorf("seed %d: G1: %s: user %s, %s in traces, is\n%v, want\n%v", r.seed, d, row.ID, hashed(row.ID), got, want)
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

// unjudged says for whom of those that are poison there is no letter yet for their
// newest change.
func (r *round) unjudged() string {
	letters := map[delivery]bool{}
	for _, l := range r.books.letters {
		letters[delivery{l.Destination, l.TopicPartition(), l.Offset}] = true
	}
	r.topic.mu.Lock()
	defer r.topic.mu.Unlock()
	type place struct {
		tp     trace.TopicPartition
		offset int
	}
	newest := map[int]place{}
	for tp, changes := range r.topic.changes {
		for offset, c := range changes {
			if poisonFor(c.id) != "" {
				newest[c.id] = place{tp, offset}
			}
		}
	}
	var all []string
	for id, at := range newest {
		c := r.topic.changes[at.tp][at.offset]
		if c.poison != "" && !letters[delivery{c.poison, at.tp, int64(at.offset)}] {
			all = append(all, fmt.Sprintf("%s: user %d, %s in traces", c.poison, id, hashed(strconv.Itoa(id))))
		}
	}
	return strings.Join(all, ", ")
}

// checkLetters is G4: each dead letter, in the topic and by the traces, is about
// poison, and for everybody who is poison in the end there is one.
func (r *round) checkLetters() {
	if left := r.unjudged(); left != "" {
		r.t.Errorf("seed %d: G4: no dead letter for %s", r.seed, left)
	}
	for _, l := range r.books.letters {
		if c := r.topic.at(l.TopicPartition(), l.Offset); c.poison != l.Destination {
			r.t.Errorf("seed %d: G4: %s: a dead letter, %s, for user %d at %d of %v, who was not poison", r.seed, l.Destination, l.Outcome, c.id, l.Offset, l.TopicPartition())
		}
	}
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	letters, err := r.p.Kafka.Read(ctx, pipeline.DeadLetters, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	written := map[delivery]bool{}
	for _, l := range letters {
		headers := map[string]string{}
		for _, h := range l.Headers {
			headers[h.Key] = string(h.Value)
		}
		partition, _ := strconv.Atoi(headers["usersync.source.partition"])
		offset, err := strconv.ParseInt(headers["usersync.source.offset"], 10, 64)
		if err != nil {
			r.t.Fatalf("a dead letter without an offset: %v", headers)
		}
		at := delivery{headers["usersync.destination"], trace.TopicPartition{Topic: headers["usersync.source.topic"], Partition: partition}, offset}
		written[at] = true
		if r.topic.at(at.tp, offset).poison != at.destination {
			r.t.Errorf("seed %d: G4: in the dead-letter topic: %v, which is no poison", r.seed, headers)
		}
	}
	for _, l := range r.books.letters {
		if !written[delivery{l.Destination, l.TopicPartition(), l.Offset}] {
			r.t.Errorf("seed %d: G2: the letter for %d of %v was acknowledged and is not there", r.seed, l.Offset, l.TopicPartition())
		}
	}
}
