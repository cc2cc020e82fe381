package delivered_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e/connect"
	"usersync/e2e/pipeline"
	"usersync/e2e/worker"
	"usersync/sync/vendortest"
)

// state is the topic for what was delivered.
const state = "state"

// damaged says who is wrong, and where that can be seen.
type damaged struct{ atVendors, inKafka []string }

// damage lets some users be given up, stops the worker, spoils what is remembered of
// some, and has somebody edit one at a vendor by hand, which nothing in Kafka tells.
func (w *world) damage(running *worker.Worker) damaged {
	w.t.Helper()
	var d damaged
	rejected := []string{"7", "507", "70007"}
	w.giveUp(rejected)
	for _, id := range rejected {
		d.atVendors = append(d.atVendors, user(worker.TapTalk, id))
		d.inKafka = append(d.inKafka, user(worker.TapTalk, id)+" dead_lettered")
	}
	w.settle()
	running.Stop()

	for _, x := range []struct {
		verdict, destination string
		ids                  []string
		with                 func(value []byte) []byte
	}{
		{"never_delivered", worker.TapTalk, []string{"11", "111", "1111", "11111"}, func([]byte) []byte { return nil }},
		// Written by the owner before, and now once more, as by one that has not noticed.
		{"unknown", worker.Haptik, []string{"22", "222"}, func(value []byte) []byte { return value }},
		// Of these the last owner has written.
		{"differs", worker.Haptik, []string{"3300", "33300", "93300"}, func(value []byte) []byte {
			other := slices.Clone(value)
			other[len(other)-1] ^= 1 // of the fingerprint
			return other
		}},
	} {
		w.spoil(x.destination, x.ids, x.with)
		for _, id := range x.ids {
			d.inKafka = append(d.inKafka, user(x.destination, id)+" "+x.verdict)
		}
	}

	const edited = "333"
	w.edit(edited)
	d.atVendors = append(d.atVendors, user(worker.TapTalk, edited))
	return d
}

// giveUp has TapTalk reject users, and lets others change until the dead-letter topic has
// the changes of all of them.
func (w *world) giveUp(ids []string) {
	w.t.Helper()
	var rules []vendortest.Rule
	for _, id := range ids {
		rules = append(rules, vendortest.Rule{User: id, Code: "40002", Field: "fullName"})
	}
	w.deployment.Vendors.SetRules(worker.TapTalk, rules...)
	w.exec(`update users set full_name = 'Rejected' where id = any($1::text[]::bigint[])`, ids)
	const some = 10
	other := users / 2
	worker.Until(w.t, worker.Limit, "they are given up", func() bool {
		w.exec(`update users set full_name = 'To compare with' where id between $1 and $2`, other, other+some-1)
		other += some
		_, letters, err := w.p.Kafka.Offsets(w.t.Context(), pipeline.DeadLetters, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		return letters == int64(len(ids))
	})
}

// spoil writes something else in place of what the state topic has of users.
func (w *world) spoil(destination string, ids []string, with func(value []byte) []byte) {
	w.t.Helper()
	hashes := map[string]bool{}
	for _, id := range ids {
		hashes[worker.Hash(id)] = true
	}
	newest := map[string]*kgo.Record{} // by key
	partitions, err := w.p.Kafka.Partitions(w.t.Context(), state)
	if err != nil {
		w.t.Fatal(err)
	}
	for p := range int32(partitions) {
		records, err := w.p.Kafka.Read(w.t.Context(), state, p)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range records {
			// The end of the key is the whole of the hash that logs have the beginning of.
			who, ours := strings.CutPrefix(string(r.Key), w.deployment.Group(destination)+"/"+connect.Topic+"/")
			if hash := hex.EncodeToString([]byte(who)); ours && len(hash) == 32 && hashes[hash[:12]] {
				newest[hash] = r
			}
		}
	}
	if len(newest) != len(ids) {
		w.t.Fatalf("%s: the state topic knows %d of %d users", destination, len(newest), len(ids))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(w.p.Kafka.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	for _, r := range newest {
		spoiled := &kgo.Record{Topic: state, Partition: r.Partition, Key: r.Key, Value: with(r.Value)}
		if err := client.ProduceSync(w.t.Context(), spoiled).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// edit changes a user at TapTalk, as somebody does who does not know of the table.
func (w *world) edit(id string) {
	w.t.Helper()
	url := w.deployment.Vendors.URLs("somebody")[worker.TapTalk] + "/v1/server/user/update"
	body := fmt.Sprintf(`{"xcUserID": %s, "fullName": "Edited By Hand"}`, strconv.Quote(id))
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Server-Key", base64.StdEncoding.EncodeToString([]byte("key:key-secret")))
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		w.t.Fatalf("the edit was answered with %s", reply.Status)
	}
}
