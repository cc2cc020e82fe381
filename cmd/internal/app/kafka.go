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
		Topics:   append(slices.Clone(k.Topics), k.DeadLetterTopic),
	})
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
