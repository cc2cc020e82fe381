package app

import (
	"fmt"
	"strings"

	"usersync/consumer"
	"usersync/metrics"
	usync "usersync/sync"
)

// because says why y is as it is, and what can be done.
func (x *explanation) because(y *explainDestination) string {
	text := x.why(y)
	if r := y.Retry; r != nil {
		text += fmt.Sprintf("; a %s of it waits in the retry topic since %s", r.Command, when(r.Asked))
	}
	return text
}

func (x *explanation) why(y *explainDestination) string {
	switch y.Verdict {
	case inSync:
		return "the destination holds what the newest row gives"
	case settled:
		return "the newest change was delivered, or replaced by one that was; without kafka.state_topic it is not kept what was"
	case gone:
		if len(y.Fields) > 0 {
			return "the newest change is a delete, and the destination was sent what replaces the user"
		}
		return "the newest change is a delete, and deletes are not sent"
	case deadLettered:
		return becauseOfLetter(y)
	case pending:
		return x.becausePending(y)
	case unknownHeld:
		if text := unknownCauses[y.cause]; text != "" {
			return text
		}
	default: // as an audit says it
	}
	for _, v := range verdicts {
		if v.verdict == y.Verdict {
			return v.means
		}
	}
	return string(y.Verdict)
}

// becauseOfLetter says why the newest change was given up.
func becauseOfLetter(y *explainDestination) string {
	for _, l := range y.Letters {
		if !l.Newest {
			continue
		}
		text := letterReasons[l.Reason]
		if text == "" {
			text = "it was given up: " + l.Reason
		}
		text += ": " + l.Error
		switch l.Status {
		case consumer.HandledReplayed:
			if y.Retry != nil {
				return text + "; it was replayed"
			}
			return text + "; it was replayed, and that is not known to be delivered"
		case consumer.HandledDiscarded:
			return text + "; it was discarded, so nothing happens until the row changes"
		}
		return text + "; mend what it names, and then: usersync dead-letters replay, or change the row"
	}
	return "the newest change cannot be decoded, and its dead letter was removed by age"
}

// letterReasons say what a reason in a dead letter means.
var letterReasons = map[string]string{
	"undecodable":       "the record cannot be read, while later ones can",
	"invalid_payload":   "the row has no payload, while later ones have",
	"rejected":          "the destination rejected this user three times, and accepted others in between",
	"refused":           "the destination refused the calls for this user, and took those for others",
	"retries_exhausted": "the calls for this user failed for longer than retry.give_up_after, while those for others succeeded",
}

// makesCertain is for causes that nothing but an operator ends.
const makesCertain = "; resync makes it certain"

// unknownCauses say why it is not known what is held, and who ends that.
var unknownCauses = map[usync.Cause]string{
	usync.CauseAttempted:    "a call with another payload did not end well, so the destination may hold that or what was there before" + makesCertain,
	usync.CausePossiblySent: "a worker that is gone may have sent another payload" + makesCertain,
	usync.CauseDoubt:        "it was delivered, but another payload may still be applied; the worker confirms it when that is over",
	usync.CauseDeadLetter:   "a change was given up, and nobody knows what its attempts have left there" + makesCertain,
	usync.CauseConflict:     "another partition has changes of the user, and nobody knows which came last" + makesCertain,
	usync.CauseResync:       "an operator wanted the user sent again, and that did not end well yet",
	usync.CauseMoved:        "what was delivered last is of another partition, to which the user has moved" + makesCertain,
	consumer.CauseZombie:    "a worker that had been replaced wrote down something else" + makesCertain,
	consumer.CauseCut:       "the topic has lost its newest records, and what was delivered of the user was one of these" + makesCertain,
}

// becausePending says why the newest change waits. What only a worker knows is not
// guessed at.
func (x *explanation) becausePending(y *explainDestination) string {
	tp := x.found.newest.extent.TopicPartition
	for _, h := range x.controls.Halts(y.Name) {
		if h.TopicPartition == tp {
			return fmt.Sprintf("partition %s/%d is not read any further since %s: %s; see usersync offsets accept-loss", tp.Topic, tp.Partition, when(h.At), h.Reason)
		}
	}
	if p, ok := x.controls.Paused(y.Name); ok {
		return fmt.Sprintf("the destination is paused since %s; usersync resume lets calls flow", when(p.At))
	}
	if lane, ok := ownerOf(x.lanes, y.Name, tp); ok {
		return lane.because(y, tp, x.config.DeadLetters.Budget)
	}
	switch {
	case y.Members == 0:
		return fmt.Sprintf("no worker is a member of the group %s; start one", x.config.Kafka.group(y.Name))
	case len(x.lanes) > 0:
		return "none of the workers that were asked owns the partition; give --metrics the URLs of all"
	case y.Committed < 0:
		return "the group has not committed anything of this partition yet: nobody has read it, or it was added and waits for the older ones"
	}
	if y.Invalid != "" {
		return "the row has no payload (" + y.Invalid + "): it waits until a later row has one, and becomes a dead letter then"
	}
	return "the workers have not settled it: it waits for its turn, for its next attempt, or the partition is not read yet, or the destination is held. Kafka alone does not tell which; give --metrics the URLs of the workers"
}

// because says why a change waits whose partition, tp, this worker owns.
func (l *laneView) because(y *explainDestination, tp consumer.TopicPartition, budget int) string {
	p := l.owned(tp)
	if p.halted != "" {
		return fmt.Sprintf("partition %s/%d is not read any further: %s; see the log of %s", tp.Topic, tp.Partition, p.halted, l.url)
	}
	if text := partitionWaits[p.waits]; text != "" {
		return fmt.Sprintf("partition %s/%d is not read yet: %s (%s)", tp.Topic, tp.Partition, text, l.url)
	}
	backoff, withheld, awaiting := l.sum("backoff_users"), l.sum("withheld_users"), l.sum("awaiting_users")
	waiting := fmt.Sprintf("%.0f users wait for the time of their next attempt, %.0f for their turn", backoff, l.sum("queue_users")-backoff-withheld-awaiting)
	if withheld > 0 {
		waiting += fmt.Sprintf(", %.0f until their partition is read up to where its last owner may have delivered", withheld)
	}
	if awaiting > 0 {
		waiting += fmt.Sprintf(", %.0f for 30 seconds at most until the state of another partition is loaded", awaiting)
	}
	if p, ok := laneProblem(l.state, l.destination, budget); ok {
		return strings.TrimSuffix(fmt.Sprintf("%s (%s); %s. %s %s", p.Say, l.url, waiting, p.Do, p.Command), " ")
	}
	if y.Invalid != "" {
		return "the row has no payload (" + y.Invalid + "): it waits until a later row has one, and becomes a dead letter then"
	}
	return fmt.Sprintf("calls flow at %s; %s", l.url, waiting)
}

// partitionWaits say why a partition is not read yet.
var partitionWaits = map[string]string{
	metrics.WaitsForOlder:  "it was added, and the older partitions are read first",
	metrics.WaitsForLeader: "its leader does not say where it starts",
	metrics.WaitsForFetch:  "it cannot be fetched, and is tried again; the log says why",
	metrics.WaitsForState:  "it is being loaded what was delivered before; the log says how far it is, or why it cannot be read",
}
