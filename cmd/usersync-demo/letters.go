package main

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// letter is a dead letter, as far as its headers say.
type letter struct{ user, destination, reason string }

// letters reads dead letters until ctx ends and hands on each of them.
func (k *kafka) letters(ctx context.Context, take func(letter)) {
	for ctx.Err() == nil {
		k.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			l := letter{user: strings.Trim(string(r.Key), `{"id:} `)}
			for _, h := range r.Headers {
				switch h.Key {
				case "usersync.destination":
					l.destination = string(h.Value)
				case "usersync.reason":
					l.reason = string(h.Value)
				}
			}
			take(l)
		})
	}
}

// mailbox collects dead letters.
type mailbox struct {
	mu   sync.Mutex
	seen map[letter]int
}

func newMailbox() *mailbox { return &mailbox{seen: map[letter]int{}} }

func (m *mailbox) take(l letter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[l]++
}

// of counts the users that a destination's dead letters are about, planted ones
// and others. A letter may be there twice: it is written at least once.
func (m *mailbox) of(destination string) (planted, others int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for l := range m.seen {
		id, err := strconv.Atoi(l.user)
		switch {
		case l.destination != destination:
		case err == nil && id >= firstPlanted:
			planted++
		default:
			others++
		}
	}
	return planted, others
}
