package consumer

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// with returns base with other values for some keys.
func with(base map[string]string, pairs ...string) map[string]string {
	m := maps.Clone(base)
	for pair := range slices.Chunk(pairs, 2) {
		m[pair[0]] = pair[1]
	}
	return m
}

func TestCheck(t *testing.T) {
	const day, week = "86400000", "604800000"
	good := map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": day, "delete.retention.ms": day, "max.message.bytes": "1000000"}
	letters := map[string]string{"cleanup.policy": "delete", "retention.ms": week, "max.message.bytes": "1001024"}
	for name, tc := range map[string]struct {
		source, letters map[string]string // nil: the topic does not exist
		dead            string
		fault           kfake.Fault
		want            []string
	}{
		"all well":                  {source: good, letters: letters},
		"delete policy, long kept":  {source: with(good, "cleanup.policy", "delete", "retention.ms", "-1"), letters: letters},
		"no source":                 {letters: letters, want: []string{"warning users missing"}},
		"no dead-letter topic":      {source: good, want: []string{"error dead missing"}},
		"compacted at once":         {source: with(good, "min.compaction.lag.ms", "0"), letters: letters, want: []string{"warning users compaction_lag"}},
		"deletes vanish":            {source: with(good, "delete.retention.ms", "1000"), letters: letters, want: []string{"warning users delete_retention"}},
		"changes vanish":            {source: with(good, "cleanup.policy", "compact,delete", "retention.ms", "1000"), letters: letters, want: []string{"warning users retention"}},
		"compacted dead letters":    {source: good, letters: with(letters, "cleanup.policy", "compact"), want: []string{"error dead dead_letter_compacted"}},
		"dead letters vanish":       {source: good, letters: with(letters, "retention.ms", day), want: []string{"warning dead dead_letter_retention"}},
		"dead letters too small":    {source: good, letters: with(letters, "max.message.bytes", "1001023"), want: []string{"warning dead dead_letter_size"}},
		"dead letters feed back":    {source: good, letters: letters, dead: "users", want: []string{"error users dead_letter_is_source"}},
		"configuration not allowed": {source: good, letters: letters, fault: kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Resource: "users"}, want: []string{"warning users config_unreadable"}},
		"source not allowed":        {source: good, letters: with(letters, "retention.ms", day), fault: kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "users"}, want: []string{"error users forbidden", "warning dead dead_letter_retention"}},
	} {
		t.Run(name, func(t *testing.T) {
			inKafka(t, func(t *testing.T, k *fakeKafka) {
				for topic, cfg := range map[string]map[string]string{"users": tc.source, "dead": tc.letters} {
					if cfg == nil {
						continue
					}
					if err := k.CreateTopic(topic, 2, cfg); err != nil {
						t.Fatal(err)
					}
				}
				if tc.fault.Keys != nil {
					tc.fault.Err, tc.fault.Count = kerr.TopicAuthorizationFailed, -1
					k.Fault(tc.fault)
				}
				dead := tc.dead
				if dead == "" {
					dead = "dead"
				}
				findings, err := Check(t.Context(), k.client("users", "dead"), []string{"users"}, dead)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, f := range findings {
					got = append(got, string(f.Severity)+" "+f.Topic+" "+f.Code)
					if !strings.Contains(f.String(), f.Code) || len(f.Text) < 40 {
						t.Errorf("finding %q says too little", f)
					}
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("found %q, want %q", got, tc.want)
				}
			})
		})
	}
}
