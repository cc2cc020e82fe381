package app

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	usync "usersync/sync"
)

// The destinations, as the file, the groups and the metrics name them.
const (
	taptalkName = "taptalk"
	haptikName  = "haptik"
)

// keys lists every key of the file, in the order in which it is printed. A
// destination that c does not have has no keys.
func (c *Config) keys() []key {
	keys := slices.Concat(c.Kafka.keys(), c.Events.keys())
	if c.TapTalk != nil {
		keys = append(keys, c.TapTalk.keys("destinations."+taptalkName+".")...)
	}
	if c.Haptik != nil {
		keys = append(keys, c.Haptik.keys("destinations."+haptikName+".")...)
	}
	return slices.Concat(keys, c.Retry.keys(), c.DeadLetters.keys(), c.processKeys())
}

func (k *Kafka) keys() []key {
	start := scalarKey("kafka.start_from", &k.StartFrom,
		"where a partition without a commit is begun: earliest, or a time like 2026-01-31T00:00:00Z", parseStart)
	start.print = func() any { return printStart(k.StartFrom) }
	private := textKey("kafka.tls.key_file", &k.TLS.KeyFile, "PEM: its private key")
	private.secretFile = &k.TLS.KeyFile
	return slices.Concat([]key{
		listKey("kafka.brokers", &k.Brokers, "one or more brokers to begin with, each host:port", hostPort).require(),
		listKey("kafka.topics", &k.Topics, "the topics with the changes, such as app.public.users", topicName).require(),
		textKey("kafka.group_id", &k.GroupID, "the consumer groups are this, a dot and the destination's name").require(),
		start,
		textKey("kafka.dead_letter_topic", &k.DeadLetterTopic, "must exist and must not be compacted; it is never created").
			require().must(func() error { return topicName(k.DeadLetterTopic) }),
		textKey("kafka.retry_topic", &k.RetryTopic, "what dead-letters replay and resync write to; with the partitions of the source, not compacted; empty: none").
			must(func() error { return topicName(k.RetryTopic) }),
		textKey("kafka.control_topic", &k.ControlTopic, "what pause, resume, accept, replay, discard and accept-loss write to; one partition, compacted; empty: none").
			must(func() error { return topicName(k.ControlTopic) }),
		textKey("kafka.state_topic", &k.StateTopic, "what was delivered to whom; with the partitions of the source, compacted; empty: each start and each snapshot calls for every user").
			must(func() error { return topicName(k.StateTopic) }),
		boolKey("kafka.state_topic_create", &k.StateTopicCreate, "create the state topic if it is missing, and grow it with the source topics"),
		durationKey("kafka.session_timeout", &k.SessionTimeout, "a silent process loses its partitions after this"),
		durationKey("kafka.rebalance_timeout", &k.RebalanceTimeout, "how long a rebalance waits for calls in flight; above shutdown.drain_timeout"),
		boolKey("kafka.tls.enabled", &k.TLS.Enabled, "TLS 1.2 or newer"),
		textKey("kafka.tls.ca_file", &k.TLS.CAFile, "PEM; empty: the system's authorities"),
		textKey("kafka.tls.cert_file", &k.TLS.CertFile, "PEM, with key_file: the client's certificate"),
		private,
		enumKey("kafka.sasl.mechanism", &k.SASL.Mechanism, "empty for none, or one of", "plain", "scram-sha-256", "scram-sha-512").orEmpty(),
	},
		secretKeys("kafka.sasl.username", &k.SASL.Username, "with a mechanism"),
		secretKeys("kafka.sasl.password", &k.SASL.Password, "with a mechanism"))
}

func parseStart(s string) (time.Time, error) {
	if s == "earliest" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, errors.New("must be earliest, or a time like 2026-01-31T00:00:00Z")
	}
	return t, nil
}

func printStart(t time.Time) string {
	if t.IsZero() {
		return "earliest"
	}
	return t.Format(time.RFC3339)
}

func (e *Events) keys() []key {
	return []key{
		enumKey("events.format", &e.Format, "how a record is written (debezium: an envelope or flattened, with or without schema)",
			"debezium", "maxwell", "json"),
		listKey("events.tables", &e.Tables, "the tables whose rows are users, as schema.table; empty: all", tableName),
		textKey("events.user_id", &e.UserID, "the user's ID: an expression over the row that derives from the message key").require(),
		textKey("events.unavailable_placeholder", &e.UnavailablePlaceholder,
			"what stands for a large column that did not change").require(),
	}
}

func (t *TapTalk) keys(prefix string) []key {
	url := "users go to POST {base_url}/v1/server/user/update"
	return slices.Concat([]key{t.urlKey(prefix, url)},
		requiredSecretKeys(prefix+"server_key_id", &t.ServerKeyID, "the ID of the server key"),
		requiredSecretKeys(prefix+"server_key_secret", &t.ServerKeySecret, "the secret of the server key"),
		t.Delivery.keys(prefix))
}

func (h *Haptik) keys(prefix string) []key {
	url := "users go to PUT and POST {base_url}/v1.0/user/"
	return slices.Concat([]key{h.urlKey(prefix, url)},
		requiredSecretKeys(prefix+"client_id", &h.ClientID, "the client-id header"),
		requiredSecretKeys(prefix+"token", &h.Token, "the bearer token"),
		[]key{enumKey(prefix+"first_write", &h.FirstWrite, "what is tried first; post only for a tenant known to be empty", "put", "post")},
		h.Delivery.keys(prefix))
}

func (d *Delivery) urlKey(prefix, doc string) key {
	// What a good URL is, the destination's client says.
	return textKey(prefix+"base_url", &d.BaseURL, doc).require()
}

func (d *Delivery) keys(prefix string) []key {
	return []key{
		mappingKey(prefix+"mapping", &d.Mapping, "an expression for each field; what is given replaces the default, null drops the field"),
		intKey(prefix+"concurrency", &d.Concurrency, 1, "calls in flight, of each process"),
		numberKey(prefix+"rate_limit", &d.RateLimit, 0, "requests a second, of the whole deployment; 0: no limit"),
		durationKey(prefix+"timeout", &d.Timeout, "of one call"),
		bytesKey(prefix+"window_bytes", &d.WindowBytes, "heap for the changes that wait; 67108864 and 64MiB are the same"),
		enumKey(prefix+"deletes", &d.Deletes, "what a deleted row causes", "skip", "anonymize"),
		mappingKey(prefix+"anonymize", &d.Anonymize, "with deletes: anonymize, what replaces each field that is mapped: an expression over user_id and constants"),
		enumKey(prefix+"on_null", &d.OnNull, "what is sent for a field without a value",
			usync.NullEmpty, usync.NullNull, usync.NullOmit),
		enumKey(prefix+"on_unavailable", &d.OnUnavailable, "what a column that the source did not send causes",
			usync.UnavailableOmit, usync.UnavailableFail),
		textKey(prefix+"phone_region", &d.PhoneRegion, "two letters such as ID, for numbers without a country code").
			must(func() error { return checkRegion(d.PhoneRegion) }),
		textKey(prefix+"state_epoch", &d.StateEpoch, "with kafka.state_topic: another value has every user sent again when it is next read"),
		intKey(prefix+"state_users", &d.StateUsers, 1, "with kafka.state_topic: how many users each process remembers, at 60 to 120 bytes; the others cost a call"),
		boolKey(prefix+"allow_http", &d.AllowHTTP, "allow an http base_url; for a loopback address it is always allowed"),
	}
}

// mappingKey is read field by field: what the file has replaces the default, and
// an empty expression drops the field.
func mappingKey(path string, expressions *map[string]any, doc string) key {
	return key{
		path: path,
		doc:  doc,
		mapping: func(overrides map[string]any) {
			// A copy: the defaults belong to the destination's package.
			mapping := maps.Clone(*expressions)
			maps.Copy(mapping, overrides)
			maps.DeleteFunc(mapping, func(_ string, expr any) bool { return expr == nil || expr == "" })
			*expressions = mapping
		},
		empty: func() bool { return len(*expressions) == 0 },
		print: func() any { return *expressions },
	}
}

func (r *Retry) keys() []key {
	return []key{
		durationKey("retry.initial_interval", &r.InitialInterval, "from a failure to the next attempt"),
		numberKey("retry.multiplier", &r.Multiplier, 1, "of the interval, after each further failure"),
		numberKey("retry.randomization", &r.Randomization, 0, "an interval is this part longer or shorter, at random").
			must(func() error {
				if r.Randomization > 1 {
					return errors.New("must be at most 1")
				}
				return nil
			}),
		durationKey("retry.max_interval", &r.MaxInterval, "no interval is longer"),
		durationKey("retry.give_up_after", &r.GiveUpAfter, "a user that fails this long while others succeed becomes a dead letter"),
		durationKey("retry.confirm_after", &r.ConfirmAfter, "a call without an answer has taken effect by then, or never will"),
	}
}

func (d *DeadLetters) keys() []key {
	settle := durationKey("dead_letters.settle", &d.Settle, "how long an eligible record waits before it is written")
	settle.check = []func() error{func() error {
		if d.Settle < 0 {
			return errors.New("must not be negative")
		}
		return nil
	}}
	return []key{
		intKey("dead_letters.budget", &d.Budget, 0, "with more than this many eligible, none is written until one looks; 0: no limit"),
		settle,
	}
}

// processKeys are those of the process itself.
func (c *Config) processKeys() []key {
	level := scalarKey("log.level", &c.Log.Level, "the least that is logged: debug, info, warn, error", parseLevel)
	level.print = func() any { return levels[c.Log.Level] }
	return slices.Concat([]key{
		durationKey("shutdown.drain_timeout", &c.Shutdown.DrainTimeout, "how long calls in flight may take to finish; above every timeout"),
	},
		secretKeys("privacy.hash_key", &c.Privacy.HashKey, "of the hash that stands for user IDs in logs; empty: random at each start"),
		[]key{
			textKey("http.listen", &c.HTTP.Listen, "host:port of metrics and probes").require().
				must(func() error { return listenAddress(c.HTTP.Listen) }),
			level,
			enumKey("log.format", &c.Log.Format, "of a line", "json", "text"),
		})
}

var levels = map[slog.Level]string{
	slog.LevelDebug: "debug",
	slog.LevelInfo:  "info",
	slog.LevelWarn:  "warn",
	slog.LevelError: "error",
}

func parseLevel(s string) (slog.Level, error) {
	for level, name := range levels {
		if s == name {
			return level, nil
		}
	}
	return 0, errors.New("must be one of debug, info, warn, error")
}
