package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	usync "usersync/sync"
)

// problems lists what is wrong: with each value alone, then with the values
// against each other.
func (c *Config) problems() []Problem {
	var alone []Problem
	for _, k := range c.keys() {
		if p, wrong := k.problem(); wrong {
			alone = append(alone, p)
		}
	}
	together := slices.Concat(c.kafkaProblems(), c.eventProblems(), c.timeProblems(), c.destinationProblems())
	if len(c.deliveries()) == 0 {
		together = append(together, Problem{Key: "destinations", Text: "is required; give taptalk, haptik or both"})
	}
	return slices.Concat(alone, founded(together, alone))
}

// founded returns those of the problems that don't rest on a value that is
// itself among the bad ones.
func founded(problems, bad []Problem) []Problem {
	isBad := func(key string) bool {
		return slices.ContainsFunc(bad, func(p Problem) bool { return p.Key == key })
	}
	return slices.DeleteFunc(problems, func(p Problem) bool {
		return isBad(p.Key) || slices.ContainsFunc(p.needs, isBad)
	})
}

// A named delivery is one that c has, with the path of its section.
type namedDelivery struct {
	path string
	*Delivery
}

func (c *Config) deliveries() []namedDelivery {
	var ds []namedDelivery
	if c.TapTalk != nil {
		ds = append(ds, namedDelivery{"destinations." + taptalkName, &c.TapTalk.Delivery})
	}
	if c.Haptik != nil {
		ds = append(ds, namedDelivery{"destinations." + haptikName, &c.Haptik.Delivery})
	}
	return ds
}

func (c *Config) kafkaProblems() []Problem {
	var ps []Problem
	k := &c.Kafka
	if slices.Contains(k.Topics, k.DeadLetterTopic) {
		ps = append(ps, Problem{
			Key: "kafka.dead_letter_topic", needs: []string{"kafka.topics"},
			Text: "is one of kafka.topics; its records would be read as changes: name another topic",
		})
	}
	if k.RetryTopic != "" && slices.Contains(append(slices.Clone(k.Topics), k.DeadLetterTopic), k.RetryTopic) {
		ps = append(ps, Problem{
			Key: "kafka.retry_topic", needs: []string{"kafka.topics", "kafka.dead_letter_topic"},
			Text: "is one of kafka.topics, or kafka.dead_letter_topic; it must be a topic of its own: name another one",
		})
	}
	if k.ControlTopic != "" && slices.Contains(append(slices.Clone(k.Topics), k.DeadLetterTopic, k.RetryTopic), k.ControlTopic) {
		ps = append(ps, Problem{
			Key: "kafka.control_topic", needs: []string{"kafka.topics", "kafka.dead_letter_topic", "kafka.retry_topic"},
			Text: "is one of kafka.topics, kafka.dead_letter_topic or kafka.retry_topic; it must be a topic of its own: name another one",
		})
	}
	ps = append(ps, c.stateProblems()...)
	ps = append(ps, k.SASL.problems()...)
	switch t := k.TLS; {
	case t.CertFile != "" && t.KeyFile == "":
		ps = append(ps, Problem{Key: "kafka.tls.cert_file", Text: "is given without key_file; give both, or neither"})
	case t.CertFile == "" && t.KeyFile != "":
		ps = append(ps, Problem{Key: "kafka.tls.key_file", Text: "is given without cert_file; give both, or neither"})
	default:
		_, err := k.TLSConfig()
		if p, wrong := errors.AsType[Problem](err); wrong {
			ps = append(ps, p)
		}
	}
	return ps
}

// stateProblems checks what it takes to keep what was delivered.
func (c *Config) stateProblems() []Problem {
	const key = "kafka.state_topic"
	k := &c.Kafka
	switch {
	case k.StateTopic == "" && k.StateTopicCreate:
		return []Problem{{Key: "kafka.state_topic_create", needs: []string{key}, Text: "is given without kafka.state_topic; name the topic"}}
	case k.StateTopic == "":
		return nil
	}
	var ps []Problem
	if slices.Contains(append(slices.Clone(k.Topics), k.DeadLetterTopic, k.RetryTopic, k.ControlTopic), k.StateTopic) {
		ps = append(ps, Problem{
			Key: key, needs: []string{"kafka.topics", "kafka.dead_letter_topic", "kafka.retry_topic", "kafka.control_topic"},
			Text: "is another topic of this file as well; it must be a topic of its own: name another one",
		})
	}
	if c.Privacy.HashKey == (usync.Secret{}) {
		ps = append(ps, Problem{
			Key: key, needs: []string{"privacy.hash_key", "privacy.hash_key_file"},
			Text: "takes privacy.hash_key, for users are in it as keyed hashes that must be the same at each start; make one with: openssl rand -hex 32",
		})
	}
	return ps
}

func (s SASL) problems() []Problem {
	var ps []Problem
	const mechanism = "kafka.sasl.mechanism"
	for _, credential := range []struct {
		name string
		usync.Secret
	}{{"username", s.Username}, {"password", s.Password}} {
		name, given := credential.name, credential.Secret != usync.Secret{}
		switch {
		case s.Mechanism != "" && !given:
			ps = append(ps, Problem{
				Key: "kafka.sasl." + name, needs: []string{mechanism, "kafka.sasl." + name + "_file"},
				Text: fmt.Sprintf("is required with a mechanism; give %s or %[1]s_file", name),
			})
		case s.Mechanism == "" && given:
			ps = append(ps, Problem{
				Key: "kafka.sasl." + name, needs: []string{mechanism},
				Text: "is given without a mechanism, so it would not be used; give kafka.sasl.mechanism",
			})
		}
	}
	return ps
}

// timeProblems checks the order of the time limits that guard each other. A call
// must end while the process can still know that it owns the partition, which is
// half a session; and a drain must outlast a call and end before the group goes
// on without the process.
func (c *Config) timeProblems() []Problem {
	const (
		session   = "kafka.session_timeout"
		rebalance = "kafka.rebalance_timeout"
		drain     = "shutdown.drain_timeout"
	)
	var ps []Problem
	for _, d := range c.deliveries() {
		key := d.path + ".timeout"
		if d.Timeout > c.Kafka.SessionTimeout/2 {
			ps = append(ps, Problem{
				Key: key, needs: []string{session},
				Text: fmt.Sprintf("%s must be at most half of %s, %s; lower it, or raise that", short(d.Timeout), session, short(c.Kafka.SessionTimeout)),
			})
		}
		if d.Timeout >= c.Shutdown.DrainTimeout {
			ps = append(ps, Problem{
				Key: key, needs: []string{drain},
				Text: fmt.Sprintf("%s must be below %s, %s; lower it, or raise that", short(d.Timeout), drain, short(c.Shutdown.DrainTimeout)),
			})
		}
	}
	if c.Shutdown.DrainTimeout >= c.Kafka.RebalanceTimeout {
		ps = append(ps, Problem{
			Key: drain, needs: []string{rebalance},
			Text: fmt.Sprintf("%s must be below %s, %s; lower it, or raise that",
				short(c.Shutdown.DrainTimeout), rebalance, short(c.Kafka.RebalanceTimeout)),
		})
	}
	if c.Retry.InitialInterval > c.Retry.MaxInterval {
		ps = append(ps, Problem{
			Key: "retry.initial_interval", needs: []string{"retry.max_interval"},
			Text: fmt.Sprintf("%s must be at most retry.max_interval, %s", short(c.Retry.InitialInterval), short(c.Retry.MaxInterval)),
		})
	}
	return ps
}

// short writes a duration as one would: 15m and not 15m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// warnings lists what is unwise in a configuration that is otherwise right.
func (c *Config) warnings() []Problem {
	var ps []Problem
	for _, k := range c.keys() {
		if k.secretFile == nil || *k.secretFile == "" {
			continue
		}
		if info, err := os.Stat(*k.secretFile); err == nil && info.Mode().Perm()&0o004 != 0 {
			ps = append(ps, Problem{Key: k.path, Text: "every user of this machine may read the file; chmod o= it"})
		}
	}
	if k := c.Kafka; k.SASL.Mechanism == "plain" && !k.TLS.Enabled {
		ps = append(ps, Problem{Key: "kafka.sasl.mechanism", Text: "plain without TLS sends the password readably; set kafka.tls.enabled, or use scram"})
	}
	return ps
}

// reason is why a file can't be used, without its name.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

func hostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || !isPort(port) {
		return errors.New("is not host:port, with a port from 1 to 65535")
	}
	return nil
}

func listenAddress(s string) error {
	if _, port, err := net.SplitHostPort(s); err != nil || port != "0" && !isPort(port) {
		return errors.New("must be host:port or :port")
	}
	return nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// topicName checks s against what Kafka accepts as a topic's name.
func topicName(s string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if s == "" || len(s) > 249 || strings.Trim(s, letters) != "" || s == "." || s == ".." {
		return errors.New("is not a topic name: letters, digits, dot, underscore and hyphen, at most 249 of them")
	}
	return nil
}

func tableName(s string) error {
	schema, table, ok := strings.Cut(s, ".")
	if !ok || schema == "" || table == "" {
		return errors.New("is not schema.table")
	}
	return nil
}

func checkRegion(s string) error {
	if len(s) != 2 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return errors.New("must be two capital letters, such as ID")
	}
	return nil
}

// checkSecretFile reads the file of s once.
func checkSecretFile(s usync.Secret) error {
	_, err := s.Read()
	switch _, isPath := errors.AsType[*fs.PathError](err); {
	case err == nil:
		return nil
	case isPath:
		return errors.New("cannot be read: " + reason(err))
	default:
		return errors.New("is empty")
	}
}
