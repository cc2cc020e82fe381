package app

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mark is a destination in a word, in the order of how soon somebody should look.
type mark int

const (
	inSyncMark mark = iota
	idleMark
	workingMark
	troubleMark
)

func (m mark) String() string {
	return [...]string{"in sync", "idle", "working", "trouble"}[m]
}

// Class is the mark for the style sheet, which only repeats what the word says.
func (m mark) Class() string {
	return [...]string{"good", "busy", "busy", "bad"}[m]
}

// headline answers the question of whoever was woken: is every user in sync, and if
// not, since when and why.
func (r *reading) headline(problems []problem) (mark, string) {
	for _, p := range problems {
		if !p.mild {
			return troubleMark, r.outOfSync() + p.Say + "."
		}
	}
	switch {
	case len(r.partitions) == 0:
		return idleMark, "This worker owns no partition: other workers have them, or a rebalance is under way."
	case r.busy() || len(problems) > 0:
		return workingMark, r.underWay(problems)
	case r.unread():
		return workingMark, "Not known yet: not all partitions were read since this worker got them."
	}
	text := "Every user of this partition is in sync"
	if n := len(r.partitions); n > 1 {
		text = fmt.Sprintf("Every user of these %d partitions is in sync", n)
	}
	if n := r.sum("dead_letters_total"); n > 0 {
		text += fmt.Sprintf(", but for %s written since the start", plural(n, "dead letter"))
	}
	return inSyncMark, text + "."
}

// busy reports whether anything is left to do.
func (r *reading) busy() bool {
	return r.lag > 0 || r.sum("queue_users") > 0 || r.sum("inflight_users") > 0 || r.sum("ambiguous_users") > 0 ||
		r.sum("state_pending_writes") > 0
}

// unread reports whether there are partitions of which nobody knows what they hold.
func (r *reading) unread() bool {
	return slices.ContainsFunc(r.partitions, func(p partition) bool { return p.halted != "" || p.waits != "" || !p.measured })
}

// outOfSync begins the sentence whose end says why.
func (r *reading) outOfSync() string {
	switch {
	case len(r.partitions) == 0:
		return "This worker brings no user up to date: "
	case r.unread():
		return "Not every user is in sync, as far as is known: "
	case !r.oldest.IsZero():
		return "Not every user is in sync, since " + clock(r.oldest) + " (" + span(r.now.Sub(r.oldest)) + "): "
	case r.busy():
		return "Not every user is in sync: "
	default:
		return "Nothing waits at the moment, but: "
	}
}

// underWay says what is under way.
func (r *reading) underWay(problems []problem) string {
	waiting, inflight := r.sum("queue_users"), r.sum("inflight_users")
	var text string
	switch {
	case !r.oldest.IsZero():
		text = fmt.Sprintf("At work: the oldest change that is not delivered is %s old.", span(r.now.Sub(r.oldest)))
	case waiting+inflight > 0:
		text = fmt.Sprintf("At work: %s and %s in flight.", plural(waiting, "user")+" waiting", plural(inflight, "call"))
	case r.sum("ambiguous_users") > 0:
		text = fmt.Sprintf("Every change was delivered, but an older call whose outcome is unknown may still undo that for %s, until retry.confirm_after is over; then who needs it is sent once more.",
			plural(r.sum("ambiguous_users"), "user"))
	case r.lag > 0:
		text = plural(r.lag, "record") + " not settled yet."
	case r.unread():
		text = "As far as is known, nothing waits."
	default:
		text = "Nothing waits for a call."
	}
	if len(problems) > 0 {
		text = strings.TrimSuffix(text, ".") + "; " + problems[0].Say + "."
	}
	return text
}

// facts are the numbers behind the headline, the more telling first.
func (l *statusLane) facts(r *reading) []fact {
	s := r.series
	return []fact{
		{"Lane", r.state + ", since " + since(s.moment("lane_state_timestamp_seconds"), r.now)},
		{"Oldest change", r.freshness()},
		{"Last delivery", orNone(s.moment("last_success_timestamp_seconds"), r.now)},
		{"Users", fmt.Sprintf("%s waiting, %s of these for the next attempt, %s without a payload",
			number(s.sum("queue_users")), number(s.sum("backoff_users")), number(s.sum("unmapped_users")))},
		{"In flight", number(s.sum("inflight_users")) + " of " + plural(s.sum("workers"), "call")},
		{"Lost replies", fmt.Sprintf("%s whose last call may still be applied; %s lost, %s to make sure",
			plural(s.sum("ambiguous_users"), "user"), number(s.sum("ambiguous_calls_total")), plural(s.sum("confirm_calls_total"), "confirm call"))},
		{"Dead letters", l.letters(s)},
		{"Rate", l.rate(s)},
		{"Calls", orDash(s.split("attempts_total", "verdict")) + "; " + plural(s.sum("control_calls_total"), "control call")},
		{"HTTP replies", orDash(s.split("http_requests_total", "code"))},
		{"Calls saved", fmt.Sprintf("%s coalesced, %s unchanged, %s stale", number(s.of("events_deduplicated_total", "reason", "coalesced")),
			number(s.of("deliveries_total", "outcome", "unchanged")),
			number(s.of("events_deduplicated_total", "reason", "stale")+s.of("deliveries_total", "outcome", "stale")))},
		{"Memory", mebibytes(s.sum("queue_bytes")) + " of " + mebibytes(s.sum("queue_limit_bytes")) + " MiB for what waits"},
		{"State topic", l.remembered(s)},
		{"Commits", "last accepted " + orNone(s.moment("consumer_last_commit_timestamp_seconds"), r.now) + "; " + orDash(s.split("consumer_commits_total", "outcome"))},
		{"Group", l.group + ", joined " + plural(s.sum("consumer_generations_total"), "time") + "; " + l.membership()},
		{"Kafka errors", orDash(s.split("consumer_errors_total", "op"))},
	}
}

// freshness is the age of what was not delivered.
func (r *reading) freshness() string {
	switch {
	case !r.oldest.IsZero():
		return "not delivered since " + since(r.oldest, r.now)
	case r.sum("queue_users") > 0:
		return "not known: the records have no time of the source"
	default:
		return "none waits"
	}
}

// membership is by what name Kafka's own tools list this worker.
func (l *statusLane) membership() string {
	if id := l.member(); id != "" {
		return "member " + id
	}
	return "no member at the moment"
}

func (l *statusLane) letters(s series) string {
	text := number(s.sum("dead_letters_total")) + " written"
	if by := s.split("dead_letters_total", "reason"); by != "" {
		text += " (" + by + ")"
	}
	return fmt.Sprintf("%s; %s waiting for release, with a budget of %d; %s held",
		text, number(s.sum("dead_letters_waiting")), l.budget, plural(s.sum("undecodable_records_waiting"), "undecodable record"))
}

func (l *statusLane) remembered(s series) string {
	if !l.remembers {
		return "none is configured"
	}
	return fmt.Sprintf("%s remembered, %s to be written, %s loading",
		plural(s.sum("state_entries"), "user"), number(s.sum("state_pending_writes")), plural(s.sum("state_loading_partitions"), "partition"))
}

func (l *statusLane) rate(s series) string {
	now := s.sum("rate_limit_calls_per_second")
	if now == 0 {
		return "no limit"
	}
	text := decimal(now) + " requests a second at this worker"
	if l.rateLimit > 0 {
		text += ", of " + decimal(l.rateLimit) + " for all"
	}
	return text + "; calls waited " + span(time.Duration(s.sum("throttle_wait_seconds_total"))*time.Second) + " for it"
}

// owns says how many partitions are this worker's, and how many are not.
func (l *statusLane) owns(r *reading) string {
	total := r.sum("consumer_topic_partitions")
	text := fmt.Sprintf("This worker owns %s of %s, with a lag of %s.",
		number(float64(len(r.partitions))), plural(total, "partition"), plural(r.lag, "record"))
	if rest := total - float64(len(r.partitions)); rest > 0 {
		text += fmt.Sprintf(" The rest (%s) belongs to other members of the group, whose pages say how those users are.", number(rest))
	}
	return text
}

// clock is a moment as operators compare it with logs.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// since is a moment and how long ago it was.
func since(t, now time.Time) string { return clock(t) + ", " + span(now.Sub(t)) + " ago" }

func orNone(t, now time.Time) string {
	if t.IsZero() {
		return "none since the start"
	}
	return since(t, now)
}

func orDash(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// span is a length of time in the two units that matter.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
	}
}

// number is a count with commas.
func number(n float64) string { return grouped(int64(math.Round(n))) }

func decimal(n float64) string { return strconv.FormatFloat(math.Round(n*10)/10, 'f', -1, 64) }

func mebibytes(n float64) string { return strconv.FormatFloat(n/(1<<20), 'f', 1, 64) }

// plural is a count of things.
func plural(n float64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(n) + " " + thing + "s"
}

// are is a count of things as the subject of a sentence.
func are(n float64, thing string) string {
	if n == 1 {
		return "1 " + thing + " is"
	}
	return plural(n, thing) + " are"
}
