package consumer

import (
	"testing"
	"time"
)

// TestMark: what tells a record from another at the same offset, and what does not.
func TestMark(t *testing.T) {
	at := func(attrs int16, key, value string, later time.Duration) mark {
		raw := logBatch{base: 7, attrs: attrs, records: []batchRecord{{key: []byte(key), value: []byte(value)}}}.encode()
		records, _, err := decodePartition("users", 7, response(t, raw))
		if err != nil || len(records) != 1 {
			t.Fatal(records, err)
		}
		records[0].Time = records[0].Time.Add(later)
		return markOf(&records[0])
	}
	first := at(0, "k", "v", 0)
	if first != (mark{next: 8, at: 1000, sum: first.sum}) || first != at(0, "k", "v", 0) {
		t.Errorf("%+v of the record at 7, and %+v the second time", first, at(0, "k", "v", 0))
	}
	for name, other := range map[string]mark{
		"another key":   at(0, "x", "v", 0),
		"another value": at(0, "k", "x", 0),
		"no value":      at(0, "k", "", 0),
		"another time":  at(0, "k", "v", time.Millisecond),
	} {
		if other == first {
			t.Errorf("%s: %v all the same", name, other)
		}
	}
	if tombstone := at(0, "k", "", 0); tombstone.sum != 0 {
		t.Errorf("%v tells of the key of a tombstone", tombstone)
	}
	// The cleaner writes the broker's time where the producer's was.
	if a, b := at(logAppendTime, "k", "v", 0), at(logAppendTime, "k", "v", time.Hour); a != b {
		t.Errorf("%v before compaction and %v after it", a, b)
	}
}

// TestMarkIsBelowTheCommit: what is read on at the commit presumes nothing of the
// records behind it. If these are cut off and others come, none is skipped.
func TestMarkIsBelowTheCommit(t *testing.T) {
	inherited, read, later := mark{next: 10, sum: 1}, mark{next: 20, sum: 2}, mark{next: 30, sum: 3}
	var p owned
	p.inherit(time.Now(), Committed{Offset: 10, Metadata: note{End: 100, Last: inherited}.String()}, time.Minute)
	p.passed(read)
	for _, step := range []struct {
		commit int64
		want   mark
	}{{10, inherited}, {19, inherited}, {20, read}} {
		if got := p.known(step.commit); got != step.want {
			t.Errorf("a commit of %d tells of %+v, want %+v", step.commit, got, step.want)
		}
	}
	p.passed(later)
	if got := p.known(25); got != read {
		t.Errorf("a commit of 25 tells of %+v, want %+v", got, read)
	}
	if got := p.known(30); got != later {
		t.Errorf("a commit of 30 tells of %+v, want %+v", got, later)
	}

	var back owned // by somebody who left the note as it was
	back.inherit(time.Now(), Committed{Offset: 9, Metadata: note{End: 100, Last: inherited}.String()}, time.Minute)
	if !back.last.none() {
		t.Errorf("the record at 9 counts as read, and the commit is 9")
	}
}
