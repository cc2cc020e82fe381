package consumer

import (
	"strconv"
	"strings"
	"time"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// DeadLetter is a record of the dead-letter topic, read.
type DeadLetter struct {
	At          usync.Position // its own place
	Written     time.Time      // by Kafka's clock
	Destination string
	Source      usync.Position // of the record that was given up
	SourceTime  time.Time      // when the source committed the change; zero: unknown
	Reason      string
	Error       string // the code, and the field if it is about one
	Attempts    int
	FailedAt    time.Time
	Version     string // of the program that gave it up
	// Original says that Key, Value and Headers are those of the record as it was.
	// Else Value holds the mapped columns, or null, and Key may be the user's ID.
	Original bool
	Form     string // what Value is: original, columns or reference
	Key      []byte
	Value    []byte
	Headers  []event.Header // the record's own
}

// ReadDeadLetter reads a record of the dead-letter topic; ok is false for one that
// this program did not write.
func ReadDeadLetter(r *event.Record) (l DeadLetter, ok bool) {
	fields, own := splitHeaders(r.Headers)
	partition, err1 := strconv.Atoi(fields["source.partition"])
	offset, err2 := strconv.ParseInt(fields["source.offset"], 10, 64)
	l = DeadLetter{
		At: usync.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}, Written: r.Time,
		Destination: fields["destination"],
		Source:      usync.Position{Topic: fields["source.topic"], Partition: partition, Offset: offset},
		SourceTime:  parseTimestamp(fields["source.timestamp"]),
		Reason:      fields["reason"], Error: fields["error"], FailedAt: parseTimestamp(fields["failed_at"]),
		Version: fields["version"], Form: fields["form"],
		Key: r.Key, Value: r.Value, Headers: own,
	}
	if l.Form == "" {
		l.Form = string(formOriginal)
	}
	l.Original = l.Form == string(formOriginal)
	l.Attempts, _ = strconv.Atoi(fields["attempts"]) // for people only
	return l, err1 == nil && err2 == nil && l.Source.Topic != "" && l.Destination != ""
}

// splitHeaders takes those that this program wrote, by what follows their prefix,
// out of the headers of a record.
func splitHeaders(all []event.Header) (ours map[string]string, own []event.Header) {
	ours = map[string]string{}
	for _, h := range all {
		if name, found := strings.CutPrefix(h.Key, headerPrefix); found {
			ours[name] = string(h.Value)
		} else {
			own = append(own, h)
		}
	}
	return ours, own
}

// parseTimestamp reads what timestamp wrote; zero for anything else.
func parseTimestamp(s string) time.Time {
	t, err := time.Parse(timestampLayout, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
