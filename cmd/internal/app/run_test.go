package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	usync "usersync/sync"
	"usersync/sync/vendortest"
)

// TestRun is the quiet day: a worker starts, keeps both vendors right and leaves.
func TestRun(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		p := b.start(b.config(func(c *Config) { c.TapTalk.RateLimit, c.TapTalk.Concurrency = 7, 3 }))
		p.ready()
		for user := range 30 {
			b.change(user+1, "first")
			b.change(user+1, "second")
		}
		for user := range 30 {
			b.holds(time.Minute, user+1, "second")
		}
		if status, body := p.get("/livez"); status != http.StatusOK {
			t.Errorf("/livez: %d %s", status, body)
		}
		p.shows(time.Minute, `usersync_consumer_lag_records{destination="haptik",partition="0",topic="users"} 0`)
		p.shows(time.Second, `usersync_workers{destination="taptalk"} 3`)
		p.shows(time.Second, `usersync_workers{destination="haptik"} 16`)
		p.shows(time.Second, `usersync_rate_limit_calls_per_second{destination="taptalk"} 7`)
		// Haptik says of each user once that it is missing, TapTalk of none.
		p.shows(time.Second, `usersync_http_requests_total{code="404",destination="haptik"} 30`)
		p.shows(time.Second, `usersync_http_requests_total{code="404",destination="taptalk"} 0`)
		_, body := p.get("/metrics")
		for _, want := range []string{"\nusersync_build_info{", "\ngo_goroutines "} {
			if !strings.Contains(body, want) {
				t.Errorf("no %q in /metrics", want)
			}
		}
		if strings.Contains(body, `usersync_http_requests_total{code="200",destination="taptalk"} 0`) {
			t.Error("the requests to TapTalk are not counted as its own")
		}
		p.end()
		if err := p.wait(5 * time.Second); err != nil {
			t.Error(err)
		}
		if status, _ := p.get("/livez"); status != 0 {
			t.Error("the admin server has outlived the worker")
		}
		for _, want := range []string{
			`"group":"usersync.taptalk"`, `"host":"localhost:8002"`, `"topics":["users"]`, `"dead_letter_topic":"dead"`,
			`"rate_limit":7,"concurrency":3`, `"rate_limit":20,"concurrency":16`, `"msg":"stopped"`,
		} {
			if !strings.Contains(b.logs.String(), want) {
				t.Errorf("the log lacks %s", want)
			}
		}
	})
}

// Two workers in a process share nothing: each has its metrics, and the partitions
// are divided among them.
func TestRunTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		first, second := b.start(b.config()), b.start(b.config())
		for _, p := range []*process{first, second} {
			p.shows(2*time.Minute, `usersync_consumer_assigned_partitions{destination="taptalk",topic="users"} 1`)
			p.shows(2*time.Minute, `usersync_consumer_assigned_partitions{destination="haptik",topic="users"} 1`)
		}
		first.end()
		if err := first.wait(time.Minute); err != nil {
			t.Error(err)
		}
		second.shows(2*time.Minute, `usersync_consumer_assigned_partitions{destination="taptalk",topic="users"} 2`)
		b.change(1, "last")
		b.holds(time.Minute, 1, "last")
	})
}

// A process that is told to stop lets a call in flight have its answer, with its
// metrics in reach, and the next one does not repeat it.
func TestRunDrains(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		p := b.start(b.config())
		p.ready()
		b.tap.SetRules(vendortest.Rule{Latency: 8 * time.Second})
		b.change(1, "drained")
		b.until(time.Minute, "the call is under way", func() bool { return b.tap.Calls() == 1 })
		p.end()
		time.Sleep(4 * time.Second)
		if status, _ := p.get("/metrics"); status != http.StatusOK {
			t.Error("no metrics during the drain")
		}
		if err := p.wait(30 * time.Second); err != nil {
			t.Error(err)
		}
		b.holds(0, 1, "drained", taptalkName)

		again := b.start(b.config())
		again.ready()
		b.change(2, "next")
		b.holds(time.Minute, 2, "next")
		if n := len(b.tap.History("1")); n != 1 {
			t.Errorf("user 1 was sent %d times", n)
		}
	})
}

// A second signal does not wait for anyone.
func TestRunStopsHard(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		p := b.start(b.config())
		p.ready()
		b.hap.SetRules(vendortest.Rule{Answer: vendortest.Hang})
		b.change(1, "hung")
		b.until(time.Minute, "the call is under way", func() bool { return b.hap.Stats().InFlight == 1 })
		p.end()
		time.Sleep(time.Second)
		p.hard()
		if err := p.wait(8 * time.Second); !errors.Is(err, errHard) {
			t.Errorf("it ended with %v", err)
		}
		b.hap.SetRules()
		b.start(b.config())
		b.holds(3*time.Minute, 1, "hung", haptikName)
	})
}

// A wrong key holds its own lane and nothing else; the right one heals it without
// a restart, and nobody was given up.
func TestRunWithWrongKey(t *testing.T) {
	inBubble(t, func(_ *testing.T, b *bubble) {
		b.secret("wrong")
		p := b.start(b.config())
		for user := range 5 {
			b.change(user+1, "new")
		}
		for user := range 5 {
			b.holds(time.Minute, user+1, "new", haptikName)
		}
		p.shows(time.Minute, `usersync_lane_state{destination="taptalk",reason="refused"} 1`)
		p.shows(time.Second, `usersync_lane_state{destination="haptik",reason="running"} 1`)
		time.Sleep(20 * time.Minute) // longer than a user may fail
		p.shows(time.Second, `usersync_dead_letters_total{destination="taptalk",reason="refused"} 0`)
		p.ready() // an orchestrator can do nothing about it

		b.secret(planted)
		for user := range 5 {
			b.holds(3*time.Minute, user+1, "new", taptalkName)
		}
		p.shows(time.Minute, `usersync_lane_state{destination="taptalk",reason="running"} 1`)
	})
}

// One destination of several can have a process of its own.
func TestRunOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config()
		if err := c.Only(haptikName); err != nil {
			t.Fatal(err)
		}
		p := b.start(c)
		b.change(1, "one")
		b.holds(time.Minute, 1, "one", haptikName)
		if _, body := p.get("/metrics"); strings.Contains(body, taptalkName) {
			t.Error("there are metrics of a destination that is not served")
		}
		if b.tap.Calls() > 0 {
			t.Error("a destination that is not served was called")
		}
	})
}

// The connector creates its topics when it has something to say: the worker waits.
func TestRunWaitsForTopics(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		p := b.start(b.config(func(c *Config) { c.Kafka.Topics = []string{"later"} }))
		time.Sleep(time.Minute)
		if status, body := p.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "taptalk: no such topic: [later]") {
			t.Errorf("/readyz: %d %s", status, body)
		}
		if status, _ := p.get("/livez"); status != http.StatusOK {
			t.Error("/livez fails for what a restart cannot cure")
		}
		if err := b.kafka.CreateTopic("later", 1, nil); err != nil {
			t.Fatal(err)
		}
		p.ready()
	})
}

// What would make every later step fail ends the start, within 15 seconds, in
// words, and before anything was joined.
func TestRunCannotStart(t *testing.T) {
	cannotStart(t, []badStart{
		{
			"no dead-letter topic", func(_ *bubble, c *Config) { c.Kafka.DeadLetterTopic = "deda" },
			"kafka.dead_letter_topic: topic deda: it does not exist",
		},
		{
			"compacted dead letters", func(_ *bubble, c *Config) { c.Kafka.DeadLetterTopic = "compacted" },
			"kafka.dead_letter_topic: topic compacted: it is compacted",
		},
		{
			"no broker", func(_ *bubble, c *Config) { c.Kafka.Brokers = []string{"localhost:9"} },
			"Kafka broker localhost:9: ",
		},
		{
			"silent broker", func(b *bubble, c *Config) { c.Kafka.Brokers = []string{b.silent()} },
			"Kafka broker localhost:9999: no answer in time",
		},
		{"wrong password", func(b *bubble, c *Config) {
			c.Kafka.Brokers = []string{b.guarded()}
			c.Kafka.SASL = SASL{Mechanism: "plain", Username: usync.Secret{Value: "u"}, Password: usync.Secret{Value: planted}}
		}, "authentication failed; check kafka.sasl.username and kafka.sasl.password"},
		{"port is taken", func(_ *bubble, c *Config) { c.HTTP.Listen = "localhost:8001" }, "8001"},
		{"key file is gone", func(_ *bubble, c *Config) { c.TapTalk.ServerKeySecret.File += "2" }, "taptalk: server_key_secret: "},
		{"hash key file is gone", func(_ *bubble, c *Config) { c.Privacy.HashKey.File = "/nowhere" }, "privacy.hash_key: "},
	})
}

// The topics that a deployment may have besides must be as they have to be as well.
func TestRunCannotStartWith(t *testing.T) {
	cannotStart(t, []badStart{
		{
			"no control topic", func(_ *bubble, c *Config) { c.Kafka.ControlTopic = "contorl" },
			"kafka.control_topic: topic contorl: it does not exist, or this user may not see it; create it with usersync topics --create, or kafka-topics.sh ",
		},
		{
			"a control topic that forgets", func(b *bubble, c *Config) {
				c.Kafka.ControlTopic = "control"
				if err := b.kafka.CreateTopic("control", 1, map[string]string{"cleanup.policy": "delete"}); err != nil {
					b.t.Fatal(err)
				}
			},
			"kafka.control_topic: topic control: its cleanup.policy is delete, so that a pause would be forgotten with time; kafka-configs.sh ",
		},
		{
			"no state topic", func(_ *bubble, c *Config) { c.Kafka.StateTopic = "stato" },
			"kafka.state_topic: topic stato: it does not exist, or this user may not see it; create it with usersync topics --create, or kafka-topics.sh --bootstrap-server localhost:9092 --create --topic stato --partitions 2 --config cleanup.policy=compact, or set kafka.state_topic_create",
		},
		{
			"a state topic with other partitions", func(b *bubble, c *Config) {
				c.Kafka.StateTopic, c.Kafka.StateTopicCreate = "wide", true
				if err := b.kafka.CreateTopic("wide", 3, map[string]string{"cleanup.policy": "compact"}); err != nil {
					b.t.Fatal(err)
				}
			},
			"kafka.state_topic: topic wide: it has 3 partitions and the source topics have 2; name another topic",
		},
		{
			"a state topic that is too small", func(_ *bubble, c *Config) { c.Kafka.StateTopic = "compacted" },
			"kafka.state_topic: topic compacted: it has 1 partitions and the source topics have 2; grow it with kafka-topics.sh --bootstrap-server localhost:9092 --alter --topic compacted --partitions 2, or set kafka.state_topic_create",
		},
		{
			"a state topic that forgets", func(b *bubble, c *Config) {
				c.Kafka.StateTopic = "both"
				if err := b.kafka.CreateTopic("both", 2, map[string]string{"cleanup.policy": "compact,delete"}); err != nil {
					b.t.Fatal(err)
				}
			},
			`kafka.state_topic: topic both: its cleanup.policy is "compact,delete": entries of users who do not change would be deleted`,
		},
		{
			"source topics that a state topic cannot fit", func(_ *bubble, c *Config) {
				c.Kafka.Topics, c.Kafka.StateTopic = append(c.Kafka.Topics, "compacted"), "state"
			},
			"kafka.state_topic: topic state: the source topics have different numbers of partitions, 2 and 1, so no worker would own all that one partition of it is about; grow the smaller ones",
		},
		{
			"no retry topic", func(_ *bubble, c *Config) { c.Kafka.RetryTopic = "retyr" },
			"kafka.retry_topic: topic retyr: it does not exist, or this user may not see it; create it with usersync topics --create, or kafka-topics.sh ",
		},
		{
			"a retry topic with other partitions", func(b *bubble, c *Config) {
				c.Kafka.RetryTopic = "small"
				if err := b.kafka.CreateTopic("small", 1, nil); err != nil {
					b.t.Fatal(err)
				}
			},
			"kafka.retry_topic: topic small: it has 1 partitions and the source topics 2",
		},
	})
}

// badStart is what keeps a process from starting, and what it has to say.
type badStart struct {
	name string
	edit func(*bubble, *Config)
	want string
}

func cannotStart(t *testing.T, tests []badStart) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				p := b.start(b.config(func(c *Config) { tt.edit(b, c) }))
				err := p.wait(16 * time.Second)
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), planted) {
					t.Errorf("got  %v\nwant %s", err, tt.want)
				}
				if strings.Contains(b.logs.String(), "joined") {
					t.Error("it has joined a group")
				}
			})
		})
	}
}

// guarded returns the address of a broker that wants a login.
func (b *bubble) guarded() string {
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9192), kfake.ListenFn(b.net.Listen),
		kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "another"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(k.Close)
	return k.ListenAddrs()[0]
}

// silent returns the address of a broker that takes connections and says nothing.
func (b *bubble) silent() string {
	const address = "localhost:9999"
	l, err := b.net.Listen("tcp", address)
	if err != nil {
		b.t.Fatal(err)
	}
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	b.t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return address
}

// Told to stop while it starts, a worker has nothing to drain and nothing to say.
func TestRunEndsWhileStarting(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		p := b.start(b.config(func(c *Config) { c.Kafka.Brokers = []string{b.silent()} }))
		time.Sleep(time.Second)
		p.end()
		if err := p.wait(time.Second); err != nil {
			t.Error(err)
		}
	})
}

// An admin server that dies would leave a worker that nobody can watch: all ends.
func TestRunEndsWithItsAdminServer(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config()
		l, err := b.net.Listen("tcp", c.HTTP.Listen)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			done <- run(t.Context(), context.WithoutCancel(t.Context()), c, &b.logs, nil, network{
				dial:   b.net.DialContext,
				listen: func(context.Context, string) (net.Listener, error) { return l, nil },
			})
		}()
		time.Sleep(time.Minute)
		_ = l.Close()
		if err := <-done; err == nil || !strings.HasPrefix(err.Error(), "admin server: ") {
			t.Errorf("it ended with %v", err)
		}
	})
}
