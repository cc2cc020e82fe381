package consumer

import (
	"strings"
	"testing"
)

// TestCheckRetries: what is wrong with a retry topic is said with the command that
// mends it.
func TestCheckRetries(t *testing.T) {
	deleting := map[string]string{"cleanup.policy": "delete"}
	for name, tc := range map[string]struct {
		users, more, retry int32 // partitions; 0: there is no such topic
		config             map[string]string
		want               []string // in the one finding; nil: there is none
	}{
		"all well":                   {users: 3, retry: 3, config: deleting},
		"no source yet":              {retry: 3, config: deleting},
		"sources alike":              {users: 2, more: 2, retry: 2, config: deleting},
		"none":                       {users: 3, want: []string{"error: ", "missing", "--create --topic retry --partitions 3 "}},
		"too small":                  {users: 3, retry: 1, config: deleting, want: []string{"error: ", "retry_partitions", "--alter --topic retry --partitions 3"}},
		"too large":                  {users: 3, retry: 4, config: deleting, want: []string{"error: ", "retry_partitions", "--delete --topic retry", "--create --topic retry --partitions 3 "}},
		"compacted":                  {users: 3, retry: 3, config: map[string]string{"cleanup.policy": "compact"}, want: []string{"error: ", "retry_compacted", "--add-config cleanup.policy=delete"}},
		"sources that are not alike": {users: 3, more: 2, retry: 3, config: deleting, want: []string{"error: ", "retry_sources_differ", "3 and 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			inKafka(t, func(t *testing.T, k *fakeKafka) {
				for topic, n := range map[string]int32{"users": tc.users, "more": tc.more, "retry": tc.retry} {
					if n == 0 {
						continue
					}
					if err := k.CreateTopic(topic, n, tc.config); err != nil {
						t.Fatal(err)
					}
				}
				findings, err := CheckRetries(t.Context(), k.client("users", "more", "retry"), []string{"users", "more"}, "retry")
				if err != nil {
					t.Fatal(err)
				}
				if len(findings) != min(len(tc.want), 1) {
					t.Fatalf("findings %v, want %q", findings, tc.want)
				}
				for _, part := range tc.want {
					if !strings.Contains(findings[0].String(), part) {
						t.Errorf("finding %q, want %q in it", findings[0], part)
					}
				}
			})
		})
	}
}
