package consumer

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/sync/sabotage"
)

// headroom is how many offsets beyond what is registered a commit announces: at first
// the most, and then four times what was registered since the last one, but never less
// than the least. No call is made for a change at or above what was announced.
//
// Who announces little may have to wait for a commit in a burst. Who announces much and is
// killed leaves that much in doubt: a quiet owner everything that comes in before another
// one takes over, and each user who changes twice in it costs a confirm call.
const (
	headroom      = 10_000
	leastHeadroom = 256
)

// announce returns up to where calls may be made once the next commit is accepted. From now
// on none is made above that, for should the answer be lost, that is what the next owner
// is told.
func (p *owned) announce() int64 {
	used := 4 * (p.front.position - p.announced)
	if p.announced = p.front.position; p.headroom == 0 {
		p.headroom = headroom
	} else {
		p.headroom = min(max(used, p.headroom/2, leastHeadroom), headroom)
	}
	p.end = min(p.end, p.ahead())
	return p.ahead()
}

// ahead is up to where the last commit would have announced from here.
func (p *owned) ahead() int64 { return p.front.position + cmp.Or(p.headroom, headroom) }

// near reports whether so little is left of what was announced that more is to be.
func (p *owned) near() bool { return p.end-p.front.position <= (p.ahead()-p.front.position)/2 }

// note is what a commit says beside the offset, for the next owner.
type note struct {
	// End: for no change at or above this offset has a call been made.
	End int64
	// Born is how many partitions the topic had when this one was first
	// committed. A partition without a commit is one that was added later if its
	// number is not below that of another.
	Born int
	// Drained says that no call of the owner can be applied any more; else that of any
	// change below End may be. Until when is for the next owner to say, by its own
	// clock: the two may differ.
	Drained bool
	// Control holds the users to whom a control call may come to be applied: what it
	// repeats lies below the commit, so the next owner does not know of it.
	Control buckets
	// Sends stands for what decided what was sent for each change between the commit and
	// End. Empty: not the same for all of them.
	Sends string
	// Last is a record below the commit, by which the next owner tells the log from
	// another one of the same name.
	Last mark
	// Done says what is settled of a partition of the retry topic above the commit.
	Done string
	// State certifies what was delivered; zero when that is not kept.
	State tenure
}

const noteFormat = "usersync/1"

// String is the form in which the note is committed.
func (n note) String() string {
	s := fmt.Sprintf("%s end=%d born=%d", noteFormat, n.End, n.Born)
	if n.Drained {
		s += " drained"
	}
	if n.Control != (buckets{}) {
		s += " control=" + n.Control.String()
	}
	if n.Sends != "" {
		s += " sends=" + n.Sends
	}
	if !n.Last.none() {
		s += " last=" + n.Last.String()
	}
	if n.Done != "" {
		s += " done=" + n.Done
	}
	if n.State != (tenure{}) {
		s += " state=" + n.State.String()
	}
	return s
}

// parseNote reads a note; ok is false for what this program did not write, such
// as the empty one that Kafka's own tool leaves.
func parseNote(s string) (n note, ok bool) {
	words := strings.Fields(s)
	if len(words) == 0 || words[0] != noteFormat {
		return note{}, false
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "end":
			n.End, err = strconv.ParseInt(value, 10, 64)
		case "born":
			n.Born, err = strconv.Atoi(value)
		case "drained":
			n.Drained = true
		case "control":
			n.Control, err = parseBuckets(value)
		case "sends":
			n.Sends = value
		case "last":
			n.Last, err = parseMark(value)
		case "done":
			n.Done = value
		case "state":
			n.State, err = parseTenure(value)
		}
		if err != nil {
			return note{}, false
		}
	}
	return n, true
}

const (
	commitEvery = time.Second     // at most so often, unless something waits for it
	proveEvery  = 5 * time.Second // an idle pipeline proves its membership
	retryCommit = 200 * time.Millisecond
	commitLimit = 5 * time.Second // for an answer
)

// committer sends the frontiers of one generation to the coordinator, one
// request at a time and never an offset below one that was accepted. It is owned
// by the generation's loop; only the request itself runs beside it.
type committer struct {
	request  func(context.Context, CommitRequest) (map[TopicPartition]kafka.Error, error)
	group    string
	id       int
	member   string
	answers  chan commitAnswer
	pending  bool
	lastSent time.Time
	lastAll  time.Time
	failed   bool // the last one was not accepted whole: try again soon
}

type commitAnswer struct {
	sent  time.Time
	parts []PartitionCommit
	ends  []int64    // up to where calls may be made once parts are accepted
	named [][]string // users to whom control calls may be made then
	codes map[TopicPartition]kafka.Error
	err   error
}

// wait is how long the next commit that nobody waits for has to wait.
func (c *committer) wait(now time.Time) time.Duration {
	return commitEvery - now.Sub(c.lastSent)
}

// send commits the partitions that moved, or all, each with its note and the users
// that it names for control calls. It reports whether there was anything to send.
func (c *committer) send(ctx context.Context, now time.Time, parts []*owned, all bool, note func(*owned) (note, []string)) bool {
	a := commitAnswer{sent: now}
	for _, p := range parts {
		if pass, ok := p.passing(); ok {
			a.parts, a.ends, a.named = append(a.parts, pass), append(a.ends, 0), append(a.named, nil)
			continue
		}
		offset := max(p.committable(), p.committed)
		switch {
		case p.halted(), p.aside(): // what is put aside gets its first commit when its turn has come
			continue
		case p.loading:
			if all { // nothing is done for it yet: what the last owner left is still what there is to say
				a.parts = append(a.parts, PartitionCommit{TopicPartition: p.TopicPartition, Offset: p.start, Metadata: p.inherited})
				a.ends, a.named = append(a.ends, 0), append(a.named, nil)
			}
			continue
		case !all && offset == p.committed && !p.near():
			continue
		}
		end := p.announce()
		n, named := note(p)
		n.Last, n.Done = p.known(offset), p.settled(offset)
		switch {
		case all && sabotage.On(sabotage.CommitBack):
			offset = max(offset-1, 0)
		case n.Drained && sabotage.On(sabotage.DrainCommitsAll):
			offset = p.front.position
		}
		a.parts = append(a.parts, PartitionCommit{TopicPartition: p.TopicPartition, Offset: offset, Metadata: n.String()})
		a.ends = append(a.ends, end)
		a.named = append(a.named, named)
	}
	if len(a.parts) == 0 {
		return false
	}
	c.pending, c.lastSent = true, now
	if all {
		c.lastAll = now
	}
	req := CommitRequest{Group: c.group, Generation: c.id, Member: c.member, Partitions: a.parts}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, commitLimit)
		defer cancel()
		a.codes, a.err = c.request(ctx, req)
		c.answers <- a // buffered: it never waits
	}()
	return true
}
