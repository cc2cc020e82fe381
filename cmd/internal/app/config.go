// Package app is the usersync program without its command line: the
// configuration file, and the wiring of one pipeline per destination.
package app

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	usync "usersync/sync"
	"usersync/sync/haptik"
	"usersync/sync/taptalk"
)

// Config is what the configuration file says, with the defaults filled in.
// It is not changed after Load and Only, so goroutines may share it.
type Config struct {
	Kafka       Kafka
	Events      Events
	TapTalk     *TapTalk // nil: the file has no such destination
	Haptik      *Haptik  // nil: the file has no such destination
	Retry       Retry
	DeadLetters DeadLetters
	Shutdown    Shutdown
	Privacy     Privacy
	HTTP        HTTP
	Log         Log
}

// Kafka says where the changes come from and where dead letters go.
type Kafka struct {
	Brokers          []string
	Topics           []string
	GroupID          string    // each destination's group is GroupID.NAME
	StartFrom        time.Time // for a partition without a commit; zero: from the earliest record
	DeadLetterTopic  string
	RetryTopic       string // what operators have done again comes back through it; empty: nothing does
	ControlTopic     string // what operators say to all processes; empty: nothing
	StateTopic       string // what was delivered; empty: it is not kept
	StateTopicCreate bool
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	TLS              TLS
	SASL             SASL
}

// TLS says how connections to the brokers are encrypted.
type TLS struct {
	Enabled  bool
	CAFile   string // empty: the system's certificate authorities
	CertFile string
	KeyFile  string
}

// SASL says how the process proves to the brokers who it is.
type SASL struct {
	Mechanism string // "" (none), "plain", "scram-sha-256" or "scram-sha-512"
	Username  usync.Secret
	Password  usync.Secret
}

// Events says how records are read.
type Events struct {
	Format                 string // "debezium", "maxwell" or "json"
	Tables                 []string
	UserID                 string // an expression over the row
	UnavailablePlaceholder string
}

// Delivery holds the keys that every destination has.
type Delivery struct {
	BaseURL       string
	Mapping       map[string]any // expressions by field, as in usync.MappingConfig
	Concurrency   int
	RateLimit     float64 // requests a second, of the whole deployment; 0: no limit
	Timeout       time.Duration
	WindowBytes   int
	Deletes       string         // "skip" or "anonymize"
	Anonymize     map[string]any // like Mapping, for deletes
	OnNull        usync.NullPolicy
	OnUnavailable usync.UnavailablePolicy
	PhoneRegion   string
	AllowHTTP     bool
	StateEpoch    string
	StateUsers    int
}

// TapTalk is the chat.
type TapTalk struct {
	Delivery
	ServerKeyID     usync.Secret
	ServerKeySecret usync.Secret
}

// Haptik is the support bot.
type Haptik struct {
	Delivery
	ClientID   usync.Secret
	Token      usync.Secret
	FirstWrite string // "put" or "post"
}

// Retry says when a failed call is made again, and when it is given up.
type Retry struct {
	InitialInterval time.Duration
	Multiplier      float64
	Randomization   float64
	MaxInterval     time.Duration
	GiveUpAfter     time.Duration
	ConfirmAfter    time.Duration
}

// DeadLetters says how many changes may be given up before that is a fault of
// something else, and how long each of them waits first.
type DeadLetters struct {
	Budget int // 0: no limit
	Settle time.Duration
}

// Shutdown bounds how long calls in flight may take to finish.
type Shutdown struct {
	DrainTimeout time.Duration
}

// Privacy holds the key of the hash that stands for user IDs in logs.
type Privacy struct {
	HashKey usync.Secret // empty: random at each start
}

// HTTP is the listener of metrics and probes.
type HTTP struct {
	Listen string
}

// Log says what is logged, and how.
type Log struct {
	Level  slog.Level
	Format string // "json" or "text"
}

// defaults returns the configuration that a file without any key would give.
// It has every destination, so that one walk over its keys sees all of them.
func defaults() *Config {
	delivery := func(mapping, anonymize map[string]any) Delivery {
		return Delivery{
			Mapping:       mapping,
			Concurrency:   16,
			RateLimit:     20,
			Timeout:       10 * time.Second,
			WindowBytes:   64 << 20,
			Deletes:       "skip",
			Anonymize:     anonymize,
			OnNull:        usync.NullEmpty,
			OnUnavailable: usync.UnavailableOmit,
			StateUsers:    5_000_000,
		}
	}
	return &Config{
		Kafka: Kafka{
			GroupID:          "usersync",
			SessionTimeout:   45 * time.Second,
			RebalanceTimeout: 60 * time.Second,
		},
		Events: Events{
			Format:                 "debezium",
			UserID:                 "id",
			UnavailablePlaceholder: "__debezium_unavailable_value",
		},
		TapTalk: &TapTalk{Delivery: delivery(taptalk.DefaultMapping, taptalk.DefaultAnonymize)},
		Haptik:  &Haptik{Delivery: delivery(haptik.DefaultMapping, haptik.DefaultAnonymize), FirstWrite: "put"},
		Retry: Retry{
			InitialInterval: 200 * time.Millisecond,
			Multiplier:      2,
			Randomization:   0.5,
			MaxInterval:     30 * time.Second,
			GiveUpAfter:     15 * time.Minute,
			ConfirmAfter:    60 * time.Second,
		},
		DeadLetters: DeadLetters{Budget: 50, Settle: 10 * time.Second},
		Shutdown:    Shutdown{DrainTimeout: 20 * time.Second},
		HTTP:        HTTP{Listen: ":8080"},
		Log:         Log{Level: slog.LevelInfo, Format: "json"},
	}
}

// Problem is one thing that is wrong with a configuration, or deserves a
// warning. Its text never holds the value of a variable or of a credential.
type Problem struct {
	File string // empty: the configuration was not read from a file
	Line int    // 0: nowhere in particular
	Key  string // as in kafka.topics; empty: the file as a whole
	Text string // what is wrong, and the remedy

	// needs are further keys that the judgement rests on: when one of them could
	// not be read, its default stands in, and the judgement is void.
	needs []string
}

// Error returns file:line: key: text.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
		if p.Line > 0 {
			fmt.Fprintf(&b, "%d:", p.Line)
		}
		b.WriteString(" ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	return b.String() + p.Text
}

// Load reads and checks the configuration file at path; env looks up a
// variable, as os.LookupEnv does. The error joins a Problem for everything that
// is wrong; the warnings are what is unwise but works. Secret files are read to
// see that they can be, and are read again by whoever needs them.
func Load(path string, env func(string) (string, bool)) (*Config, []Problem, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, Problem{File: path, Text: "cannot be read: " + reason(err)}
	}
	return parse(path, data, env)
}

// parse is Load without the reading.
func parse(name string, data []byte, env func(string) (string, bool)) (*Config, []Problem, error) {
	c := defaults()
	r := newReader(name, c.keys(), env)
	r.read(data)
	if r.broken {
		return nil, nil, r.err()
	}
	if !r.seen("destinations.taptalk") {
		c.TapTalk = nil
	}
	if !r.seen("destinations.haptik") {
		c.Haptik = nil
	}
	for _, p := range founded(c.problems(), r.problems) {
		r.add(p)
	}
	if err := r.err(); err != nil {
		return nil, nil, err
	}
	warnings := c.warnings()
	for i := range warnings {
		r.place(&warnings[i])
	}
	return c, warnings, nil
}

// Validate checks everything that can be checked without a network: each value
// alone, the values against each other, the files, the mappings. Load has done
// so already; it is for a Config made in code. The error joins Problems.
func (c *Config) Validate() error {
	return join(c.problems())
}

// Only leaves one destination in the configuration, for a process that is to
// serve no other.
func (c *Config) Only(name string) error {
	if err := c.has(name); err != nil {
		return err
	}
	if name == taptalkName {
		c.Haptik = nil
	} else {
		c.TapTalk = nil
	}
	return nil
}

// has returns a Problem if there is no such destination.
func (c *Config) has(name string) error {
	if name == taptalkName && c.TapTalk != nil || name == haptikName && c.Haptik != nil {
		return nil
	}
	return Problem{Key: "destinations." + name, Text: "is not in the configuration; add it, or name one that is"}
}

func join(problems []Problem) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}
