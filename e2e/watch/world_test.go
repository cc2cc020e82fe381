package watch

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e"
	"usersync/e2e/broker"
	"usersync/e2e/internal/loopback"
	"usersync/e2e/prometheus"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// interval is how often workers are scraped and rules evaluated. A worker brings its
// gauges up to date once a second.
const interval = time.Second

// world is a broker, a Prometheus, and a deployment in a namespace of its own for each
// cause: all alerts keep the namespace, so all causes can have their effects at once.
type world struct {
	t          *testing.T
	kafka      *broker.Broker
	prometheus *prometheus.Server
	began      time.Time // when Prometheus knew all workers, and nothing fired
	places     []*place
}

// place is a namespace with one worker.
type place struct {
	cause
	*world
	d       *worker.Deployment
	w       *worker.Worker
	addr    string // of the worker, also after a restart
	flows   bool   // users change all the time
	version int
	unseen  *worker.Worker // of the same group, and nobody scrapes it
}

func newWorld(t *testing.T, causes []cause) *world {
	t.Helper()
	e2e.RequirePrometheus(t)
	w := &world{t: t, kafka: e2e.Kafka(t, broker.Config{Links: 1})}
	// A new broker has no coordinator until someone asks for one, and a worker that
	// is told so waits five seconds before it joins.
	if _, err := w.kafka.Committed(t.Context(), "anyone"); err != nil {
		t.Fatal(err)
	}
	free, err := loopback.Free(t.Context(), len(causes))
	if err != nil {
		t.Fatal(err)
	}
	// Without the race detector, also when the tests have it: with it twenty workers do not
	// answer a scrape within a second.
	binary, err := e2e.BuildWith("usersync/cmd/usersync")
	if err != nil {
		t.Fatal(err)
	}
	well := vendors.Start(t)
	var targets []prometheus.Target
	for i, c := range causes {
		p := &place{cause: c, world: w, addr: free[i], flows: !c.quiet}
		p.d = &worker.Deployment{Broker: w.kafka.Client, Vendors: well, Config: p.config(), Binary: binary}
		if c.vendors {
			p.d.Vendors = vendors.Start(t)
		}
		p.topics()
		w.places = append(w.places, p)
		targets = append(targets, prometheus.Target{Addr: p.addr, Labels: map[string]string{"namespace": p.name, "pod": p.name + "-0"}})
	}
	for _, p := range w.places {
		// A topic that was just made is not known at once, and a worker that cannot see it
		// says so and ends.
		for _, what := range topics {
			if _, err := w.kafka.Partitions(t.Context(), p.topic(what)); err != nil {
				t.Fatal(err)
			}
		}
		p.launch()
	}
	for _, p := range w.places {
		p.w.Ready()
	}
	w.prometheus = e2e.Prometheus(t, prometheus.Config{Interval: interval, Targets: targets, Rules: scaled(t)})
	w.quiet()
	return w
}

// quiet waits until all workers were scraped for a while and nothing fires: what counted
// up before is invisible to an increase, and what is missing before fires.
func (w *world) quiet() {
	w.t.Helper()
	w.until(limit, func() string { return fmt.Sprint("a quiet start; these fire: ", w.firing()) }, func() bool {
		up, err := w.prometheus.Query(w.t.Context(), `sum(min_over_time(up[5s])) and sum(count_over_time(up[5s])) >= 4 * count(up)`)
		if err != nil {
			w.t.Fatal(err)
		}
		return len(up) == 1 && up[0].Points[0].Value == float64(len(w.places)) && len(w.firing()) == 0
	})
	w.began = time.Now()
}

func (p *place) topic(what string) string { return p.name + "-" + what }

// config is what all have: short intervals, and topics of their own.
func (p *place) config() worker.Config {
	c := worker.Config{
		"kafka.topics": []string{p.topic("users")}, "kafka.group_id": p.name,
		"kafka.dead_letter_topic": p.topic("dead"), "kafka.control_topic": p.topic("control"),
		"kafka.state_topic": p.topic("state"), "kafka.retry_topic": p.topic("retry"),
		"retry.initial_interval": "100ms", "retry.max_interval": "1s",
		"retry.confirm_after": "4s",
	}
	maps.Copy(c, p.more)
	if p.linked {
		c["kafka.brokers"] = []string{p.kafka.Link(0).Addr()}
	}
	return c
}

// topics are what each place has.
var topics = []string{"users", "dead", "retry", "control", "state"}

func (p *place) topics() {
	p.t.Helper()
	for _, what := range topics {
		p.must(p.kafka.CreateTopic(p.t.Context(), p.topic(what), 1, settings(what)))
	}
}

// settings are those of a topic.
func settings(what string) map[string]string {
	if what == "control" || what == "state" {
		return map[string]string{"cleanup.policy": "compact"}
	}
	return nil
}

// launch starts the worker, at its address.
func (p *place) launch() {
	p.t.Helper()
	p.w = p.d.Launch(p.t, p.name, worker.Config{"http.listen": p.addr})
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// usersync runs a command of the product with the worker's configuration.
func (p *place) usersync(args ...string) {
	p.t.Helper()
	if code, out, said := p.d.Command(p.t, p.name, nil, args...); code != 0 {
		p.t.Fatalf("%s: usersync %v: exit code %d\n%s%s", p.name, args, code, out, said)
	}
}

// changes are a change of each of n users, from a user on.
func (p *place) changes(first, n int) []*kgo.Record {
	p.version++
	var all []*kgo.Record
	for user := range n {
		all = append(all, worker.Change(p.topic("users"), first+user, p.version, ""))
	}
	return all
}

// write writes records, and returns when Kafka has them.
func (p *place) write(records ...*kgo.Record) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), worker.Limit)
	defer cancel()
	p.must(p.kafka.Produce(ctx, records...))
}

// settled waits until everything is delivered and committed.
func (p *place) settled() {
	p.t.Helper()
	for _, destination := range worker.Destinations {
		worker.Until(p.t, worker.Limit, p.name+" has settled", func() bool {
			return worker.Lag(p.t, p.d.Broker, p.d.Group(destination), p.topic("users")) == 0
		})
	}
}

// flow writes a few changes of a hundred users wherever users change.
func (w *world) flow(round int) {
	w.t.Helper()
	var all []*kgo.Record
	for _, p := range w.places {
		if p.flows {
			all = append(all, p.changes(round*5%100, 5)...)
		}
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), worker.Limit)
	defer cancel()
	if err := w.kafka.Produce(ctx, all...); err != nil {
		w.t.Fatal(err)
	}
}

// alerts are names with their severity, such as "UserSyncDown critical", by namespace.
type alerts map[string]map[string]bool

// add adds an alert, and reports whether it was not there.
func (a alerts) add(labels map[string]string) bool {
	namespace, name := labels["namespace"], labels["alertname"]+" "+labels["severity"]
	if a[namespace] == nil {
		a[namespace] = map[string]bool{}
	}
	known := a[namespace][name]
	a[namespace][name] = true
	return !known
}

// firing returns what fires.
func (w *world) firing() alerts {
	w.t.Helper()
	all, err := w.prometheus.Alerts(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	now := alerts{}
	for _, a := range all {
		if a.State == "firing" {
			now.add(a.Labels)
			w.readable(a)
		}
	}
	return now
}

// fired returns what has fired since the beginning, also while nobody looked.
func (w *world) fired() []prometheus.Series {
	w.t.Helper()
	all, err := w.prometheus.Query(w.t.Context(),
		fmt.Sprintf(`group by (namespace, alertname, severity) (last_over_time(ALERTS{alertstate="firing"}[%ds]))`, int(time.Since(w.began).Seconds())+1))
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// until lets users change until done says so.
func (w *world) until(limit time.Duration, what func() string, done func() bool) {
	w.t.Helper()
	deadline := time.After(limit)
	round := 0
	for tick := time.Tick(250 * time.Millisecond); ; {
		w.flow(round)
		round++
		if done() {
			return
		}
		select {
		case <-tick:
		case <-deadline:
			w.t.Fatalf("not within %v: %s", limit, what())
		}
	}
}

// readable fails the test if what somebody is woken by has a hole in it.
func (w *world) readable(a prometheus.Alert) {
	w.t.Helper()
	for _, name := range []string{"summary", "description"} {
		if text := a.Annotations[name]; text == "" || strings.Contains(text, "<no value>") || strings.Contains(text, "<error") {
			w.t.Errorf("%s: its %s is %q", a.Labels["alertname"], name, text)
		}
	}
}
