package app

import (
	"context"
	"fmt"
	"net"
	"slices"

	"usersync/consumer"
)

// client returns a client for the brokers, under the name id, that may ask about
// the topics of k; a nil dial is the real network. The credentials are read from
// their files now.
func (k Kafka) client(id string, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*consumer.Client, error) {
	tls, err := k.TLSConfig()
	if err != nil {
		return nil, err
	}
	sasl, err := k.SASL.read()
	if err != nil {
		return nil, err
	}
	return consumer.NewClient(consumer.ClientConfig{
		Brokers:  k.Brokers,
		ClientID: id,
		Dial:     dial,
		TLS:      tls,
		SASL:     sasl,
		Topics:   k.everyTopic(),
	})
}

// fetched lists the topics of which the workers' groups have offsets.
func (k Kafka) fetched() []string {
	all := slices.Clone(k.Topics)
	if k.RetryTopic != "" {
		all = append(all, k.RetryTopic)
	}
	return all
}

// everyTopic lists the topics that are configured.
func (k Kafka) everyTopic() []string {
	all := append(k.fetched(), k.DeadLetterTopic)
	if k.ControlTopic != "" {
		all = append(all, k.ControlTopic)
	}
	if k.StateTopic != "" {
		all = append(all, k.StateTopic)
	}
	return all
}

// own returns the key that names topic, if it is not one of the source's: these
// topics must be right before anything starts.
func (k Kafka) own(topic string) (key string, ok bool) {
	switch {
	case slices.Contains(k.Topics, topic):
		return "", false
	case topic == k.DeadLetterTopic:
		return "kafka.dead_letter_topic", true
	case topic == k.ControlTopic:
		return "kafka.control_topic", true
	case topic == k.StateTopic:
		return "kafka.state_topic", true
	default:
		return "kafka.retry_topic", true
	}
}

// read returns the credentials, or nothing without a mechanism.
func (s SASL) read() (consumer.SASL, error) {
	if s.Mechanism == "" {
		return consumer.SASL{}, nil
	}
	username, err := s.Username.Read()
	if err != nil {
		return consumer.SASL{}, fmt.Errorf("username: %w", err)
	}
	password, err := s.Password.Read()
	if err != nil {
		return consumer.SASL{}, fmt.Errorf("password: %w", err)
	}
	return consumer.SASL{Mechanism: s.Mechanism, Username: username, Password: password}, nil
}
