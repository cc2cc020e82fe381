package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/consumer/trace"
	"usersync/e2e/pipeline"
)

// header is in every record of the topic, put there by the connector: a dead letter
// has to keep it.
const header = "written.by"

// captured is what the connector does beside capturing.
var captured = map[string]string{
	"transforms":                      "header",
	"transforms.header.type":          "org.apache.kafka.connect.transforms.InsertHeader",
	"transforms.header.header":        header,
	"transforms.header.value.literal": "an application",
}

// keep returns the bytes of a record without those that it was fetched with.
func keep(r *kgo.Record) *kgo.Record {
	kept := &kgo.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
	for _, h := range r.Headers {
		kept.Headers = append(kept.Headers, kgo.RecordHeader{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	return kept
}

// unjudged says for whom of those that are poison there is no letter yet for their
// newest change.
func (r *round) unjudged() string {
	var all []string
	for _, f := range r.books.judged.Due() {
		all = append(all, f.String())
	}
	return strings.Join(all, ", ")
}

// checkLetters is G4 and G2 of dead letters: for everybody who is poison in the end
// there is one, those that were acknowledged are there, and each that is there is about
// poison, with all that its record was.
func (r *round) checkLetters() {
	r.find(r.books.judged.Due()...)
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	letters, err := r.p.Kafka.Read(ctx, pipeline.DeadLetters, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	written := map[delivery]bool{}
	for _, l := range letters {
		at, err := about(l)
		if err != nil {
			r.t.Fatal(err)
		}
		written[at] = true
		source := r.topic.at(at.tp, at.offset)
		if source.poison != at.destination {
			r.t.Errorf("seed %d: G4: in the dead-letter topic: %v, which is no poison", r.seed, at)
			continue
		}
		if what := spoiled(l, source.record); what != "" {
			r.t.Errorf("seed %d: G2: the letter for %v: %s", r.seed, at, what)
		}
	}
	for _, l := range r.books.letters {
		if !written[delivery{l.Destination, l.TopicPartition(), l.Offset}] {
			r.t.Errorf("seed %d: G2: the letter for %d of %v was acknowledged and is not there", r.seed, l.Offset, l.TopicPartition())
		}
	}
}

// about says which change a dead letter is about.
func about(letter *kgo.Record) (delivery, error) {
	headers := map[string]string{}
	for _, h := range letter.Headers {
		headers[h.Key] = string(h.Value)
	}
	partition, badPartition := strconv.Atoi(headers["usersync.source.partition"])
	offset, badOffset := strconv.ParseInt(headers["usersync.source.offset"], 10, 64)
	if err := errors.Join(badPartition, badOffset); err != nil {
		return delivery{}, fmt.Errorf("a dead letter that does not say where it is from: %w", err)
	}
	tp := trace.TopicPartition{Topic: headers["usersync.source.topic"], Partition: partition}
	return delivery{headers["usersync.destination"], tp, offset}, nil
}

// spoiled says what of a record is not in its dead letter as it was, "" if all is.
// A lesser form will not do, for the record is still there.
func spoiled(letter, source *kgo.Record) string {
	var headers []kgo.RecordHeader
	for _, h := range letter.Headers {
		if h.Key == "usersync.form" {
			return "it is " + string(h.Value) + " only"
		}
		if !strings.HasPrefix(h.Key, "usersync.") {
			headers = append(headers, h)
		}
	}
	same := func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }
	switch {
	case len(source.Headers) == 0:
		return "the record has no header, so that none could be missed"
	case !bytes.Equal(letter.Key, source.Key):
		return fmt.Sprintf("its key is %q, and was %q", letter.Key, source.Key)
	case !bytes.Equal(letter.Value, source.Value):
		return fmt.Sprintf("its value is %q, and was %q", letter.Value, source.Value)
	case !slices.EqualFunc(headers, source.Headers, same):
		return fmt.Sprintf("its headers are %q, and were %q", headers, source.Headers)
	}
	return ""
}

// TestSpoiled: nothing of a record may be missing in its letter, or be another's.
func TestSpoiled(t *testing.T) {
	of := func(key, value string, headers ...string) *kgo.Record {
		r := &kgo.Record{Key: []byte(key), Value: []byte(value)}
		for i := 0; i < len(headers); i += 2 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
		}
		return r
	}
	source := of("7", "row", header, "an application", "more", "")
	good := of("7", "row", header, "an application", "more", "", "usersync.reason", "rejected")
	if what := spoiled(good, source); what != "" {
		t.Errorf("a whole letter: %s", what)
	}
	for _, bad := range []*kgo.Record{
		of("8", "row", header, "an application", "more", ""),
		of("7", "other", header, "an application", "more", ""),
		of("7", "row", header, "an application"),
		of("7", "row", header, "another", "more", ""),
		of("7", "row", header, "an application", "more", "", "more", ""),
		of("7", "row", "more", "", header, "an application"),
		of("7", "row", header, "an application", "more", "", "usersync.form", "columns"),
	} {
		if spoiled(bad, source) == "" {
			t.Errorf("not seen: %v", bad)
		}
	}
	if spoiled(of("7", "row"), of("7", "row")) == "" {
		t.Error("not seen: a record without headers")
	}
}
