// Package browser looks at the status page of a real worker in a real Chromium: what a
// page is only shows where it is drawn, scripts run and a policy is enforced.
package browser

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e"
	"usersync/e2e/process"
	"usersync/e2e/worker"
	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

// limit is how long what takes seconds may take on a busy machine.
const limit = time.Minute

// world is a deployment with one worker: a process of its own, while Kafka and the
// vendors are in the test's.
type world struct {
	t      *testing.T
	tap    *taptalktest.Server
	out    *kgo.Client
	worker *process.Process
	url    string // of the status page
}

func newWorld(t *testing.T) *world {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "app.public.users"), kfake.SeedTopics(1, "app.usersync.dead"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	w := &world{t: t, tap: taptalktest.New()}
	hap := haptiktest.New()
	t.Cleanup(w.tap.Close)
	t.Cleanup(hap.Close)
	w.tap.SetKeys(vendortest.Key{ID: "id", Secret: "secret"})
	taptalk, haptik := httptest.NewServer(w.tap), httptest.NewServer(hap)
	t.Cleanup(taptalk.Close)
	t.Cleanup(haptik.Close)
	w.out, err = kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.out.Close)

	file := filepath.Join(t.TempDir(), "config.yaml")
	config := fmt.Sprintf(`
kafka: {brokers: [%q], topics: [app.public.users], dead_letter_topic: app.usersync.dead}
http: {listen: "127.0.0.1:0"}
retry: {max_interval: 2s}
destinations:
  taptalk: {base_url: %q, server_key_id: id, server_key_secret: secret}
  haptik: {base_url: %q, client_id: client, token: token}
`, kafka.ListenAddrs()[0], taptalk.URL, haptik.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	w.worker = e2e.Start(t, process.Command{Name: "worker", Path: e2e.BuildWorker(t), Args: []string{"run", "-c", file}})
	worker.Until(t, limit, "the worker listens", func() bool {
		log, err := os.ReadFile(w.worker.Stderr())
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(string(log), `"msg":"listening","address":"`)
		address, _, ended := strings.Cut(rest, `"`)
		w.url = "http://" + address + "/"
		return found && ended
	})
	return w
}

// change writes so many users into the database; the connector tells of it.
func (w *world) change(users int, name string) {
	w.t.Helper()
	var records []*kgo.Record
	for user := range users {
		records = append(records, &kgo.Record{
			Topic: "app.public.users", Key: fmt.Appendf(nil, `{"id":%d}`, user+1),
			Value: fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"full_name":"%s"},"source":{"schema":"public","table":"users","ts_ms":%d},"op":"u"}`,
				user+1, name, time.Now().UnixMilli()),
		})
	}
	if err := w.out.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}
