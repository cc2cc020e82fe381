package consumer

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAccessTakenAway: a worker that may not go on says what it lacks for as long
// as it does, and only then.
func TestAccessTakenAway(t *testing.T) {
	zero := TopicPartition{"users", 0}
	for code, want := range map[kafka.Error]string{
		kafka.TopicAuthorizationFailed: "topic users: access denied: this user needs Read",
		kafka.GroupAuthorizationFailed: "group g: access denied: this user needs Read",
	} {
		t.Run(code.Title(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &requests{codes: map[TopicPartition]kafka.Error{zero: code}}
				g := proving(t, r, part(0, 10, 20, 0))
				g.Group = "g"
				g.p.missing(nil)
				if !g.turn() {
					t.Fatal("nothing was committed")
				}
				if err := g.p.Ready(); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Ready = %v, want %q", err, want)
				}
				if g.lease.valid() || g.parts[0].committed != 10 {
					t.Errorf("lease %v, committed %d: want neither", g.lease.valid(), g.parts[0].committed)
				}
				r.codes = nil
				time.Sleep(retryCommit)
				if !g.turn() {
					t.Fatal("it was not tried again")
				}
				if err := g.p.Ready(); err != nil {
					t.Errorf("Ready = %v after the access came back", err)
				}
			})
		})
	}
}

func TestCheckAccess(t *testing.T) {
	for name, tc := range map[string]struct {
		key  kmsg.Key
		err  *kerr.Error
		want []string // one line each begins like this
	}{
		"all granted": {},
		"no reading": {kmsg.OffsetCommit, kerr.TopicAuthorizationFailed, []string{
			"topic users: access denied: this user needs Read; ", "topic state: access denied: this user needs Read; ",
		}},
		"no group": {kmsg.OffsetCommit, kerr.GroupAuthorizationFailed, []string{"group g: access denied: this user needs Read; "}},
		"no writing": {kmsg.Produce, kerr.TopicAuthorizationFailed, []string{
			"topic dead: access denied: this user needs Write; ", "topic state: access denied: this user needs Write; ",
		}},
		"another kind of word": {kmsg.Produce, kerr.NotLeaderForPartition, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inKafka(t, func(t *testing.T, k *fakeKafka) {
				all := []string{"users", "dead", "state"}
				for _, topic := range all {
					if err := k.CreateTopic(topic, 1, nil); err != nil {
						t.Fatal(err)
					}
				}
				if tc.err != nil {
					k.Fault(kfake.Fault{Keys: []kmsg.Key{tc.key}, Err: tc.err, Count: -1})
				}
				err := k.client(all...).CheckAccess(t.Context(), []string{"users", "state"}, []string{"dead", "state"}, []string{"g"})
				var said []string
				if err != nil {
					said = strings.Split(err.Error(), "\n")
				}
				if !slices.EqualFunc(said, tc.want, strings.HasPrefix) {
					t.Errorf("CheckAccess: %q, want %q", said, tc.want)
				}
			})
		})
	}
}
