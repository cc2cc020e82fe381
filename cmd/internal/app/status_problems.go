package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"usersync/metrics"
)

// problem is why users are not in sync: what to say of it, what helps, the command for
// that, and the runbook that has more, which is named as an alert is.
type problem struct {
	Say, Do, Command, Runbook string
	mild                      bool // it passes by itself as a rule: nobody needs to get up
}

// problems are the reasons why users of the destination are not in sync, or will not
// be before long: the first is what to look at first.
func (l *statusLane) problems(r *reading, failures []metrics.Failure) []problem {
	var all []problem
	state := "UserSyncStateUnwritable"
	if r.sum("state_loading_partitions") > 0 {
		state = "UserSyncPartitionWaiting"
	}
	for _, c := range []struct {
		check   probe
		runbook string
	}{{l.alive, "UserSyncRestarting"}, {l.joined, "UserSyncNotMember"}, {l.stateful, state}} {
		if err := c.check(); err != nil {
			all = append(all, problem{Say: strings.TrimPrefix(err.Error(), l.name+": "), Runbook: c.runbook})
		}
	}
	all = append(all, r.halted(l.name)...)
	if p, ok := laneProblem(r.state, l.name, l.budget); ok {
		if code := lastCode(r.state, failures); code != "" {
			p.Say += " (last: " + code + ")"
		}
		all = append(all, p)
	}
	if r.sum("control_unreadable") == 1 {
		all = append(all, problem{
			Say: "the control topic cannot be read, so that a pause or an acceptance is not heard",
			Do:  "The log says why.", Runbook: "UserSyncControlUnreadable",
		})
	}
	all = append(all, r.waiting()...)
	all = append(all, r.unproven()...)
	return append(all, r.held()...)
}

// halted names the partitions that wait for somebody's decision.
func (r *reading) halted(destination string) []problem {
	var all []problem
	for _, c := range countBy(r.partitions, func(p partition) string { return p.halted }) {
		p := problem{
			Say:     fmt.Sprintf("%s not read any further (%s)", are(c.n, "partition"), c.reason),
			Do:      "What is lost if it goes on, and how to let it:",
			Command: "usersync offsets accept-loss " + destination + " -c FILE", Runbook: "UserSyncPartitionHalted",
		}
		if c.reason == "topic_gone" {
			p.Do, p.Command = "Create the topic again.", ""
		}
		all = append(all, p)
	}
	return all
}

// waiting names the partitions that are not read yet.
func (r *reading) waiting() []problem {
	var all []problem
	for _, c := range countBy(r.partitions, func(p partition) string { return p.waits }) {
		all = append(all, problem{
			Say:     fmt.Sprintf("%s not read (%s): %s", are(c.n, "partition"), c.reason, partitionWaits[c.reason]),
			Runbook: "UserSyncPartitionWaiting",
			mild:    c.reason == metrics.WaitsForOlder || c.reason == metrics.WaitsForState,
		})
	}
	return all
}

// unproven says that no call may start for want of an accepted commit. What is halted
// is not committed, and whoever has nothing else has no call to start.
func (r *reading) unproven() []problem {
	read := func(p partition) bool { return p.halted == "" }
	if r.sum("lease_valid") == 1 || !slices.ContainsFunc(r.partitions, read) {
		return nil
	}
	p := problem{Say: "no call may start before a commit proves that these partitions are still this worker's", Runbook: "UserSyncNotMember", mild: true}
	if last := r.moment("consumer_last_commit_timestamp_seconds"); !last.IsZero() {
		p.Say += "; the last was accepted " + since(last, r.now)
		if p.mild = r.now.Sub(last) < time.Minute; !p.mild {
			p.Do = "Look at the brokers, and at the log for what they answer."
		}
	}
	return []problem{p}
}

// held names what waits for a reason of its own while calls flow.
func (r *reading) held() []problem {
	var all []problem
	add := func(n float64, say, do, runbook string) {
		if n > 0 {
			all = append(all, problem{Say: say, Do: do, Runbook: runbook, mild: true})
		}
	}
	backoff, unmapped := r.sum("backoff_users"), r.sum("unmapped_users")
	withheld := r.sum("withheld_users")
	letters, undecodable := r.sum("dead_letters_waiting"), r.sum("undecodable_records_waiting")
	add(backoff, plural(backoff, "user")+" waiting for the next attempt", "The errors below say why the last one failed.", "UserSyncStale")
	add(withheld, plural(withheld, "user")+" waiting until more of their partition is read", "Its last owner may have delivered newer changes of theirs. If that lasts, look at the brokers: one may lead it and not answer.", "UserSyncPartitionWaiting")
	awaiting := r.sum("awaiting_users")
	add(awaiting, plural(awaiting, "user")+" waiting until the state of another partition is loaded", "They seem to need no call, unless they have moved from there. That takes 30 seconds at most.", "UserSyncPartitionWaiting")
	gathering := r.sum("gathering_users")
	add(gathering, plural(gathering, "user")+" waiting until more of a backlog is read", "That takes two seconds at most, and saves a call for each who changes again in it.", "UserSyncLagGrowing")
	if r.state != metrics.StateUnmapped {
		add(unmapped, plural(unmapped, "user")+" without a payload", "As soon as a later row has one they become dead letters.", "UserSyncUnmappedUsers")
	}
	if r.state != metrics.StateLatched {
		add(letters, plural(letters, "record")+" about to be given up", "They become dead letters when dead_letters.settle is over.", "UserSyncDeadLetters")
	}
	add(undecodable, plural(undecodable, "undecodable record")+" held", "As soon as the row of a later record can be read they become dead letters.", "UserSyncUndecodableRecords")
	if failed := r.sum("dead_letter_write_failures_total"); failed > 0 && letters > 0 {
		all = append(all, problem{Say: "dead letters cannot be written, or could not: " + plural(failed, "attempt") + " failed since the start", Do: "Look at the dead-letter topic.", Runbook: "UserSyncDeadLetterWritesFailing"})
	}
	if limit := r.sum("queue_limit_bytes"); limit > 0 && r.sum("queue_bytes") >= limit {
		all = append(all, problem{Say: "what waits fills its memory, so that no more is read", Do: "It goes on as calls end.", Runbook: "UserSyncWindowFull", mild: true})
	}
	return all
}

// laneProblem says of a lane's state what it means and what helps.
func laneProblem(state, destination string, budget int) (problem, bool) {
	const probed = "It is probed, about once a minute, and all goes on with the first success. Nobody is given up meanwhile."
	switch state {
	case metrics.StateRunning:
		return problem{}, false
	case metrics.StateFailed:
		return problem{Say: "held: the destination fails for everyone", Do: "Ask the vendor. " + probed, Runbook: "UserSyncDestinationHeld"}, true
	case metrics.StateRejected:
		return problem{Say: "held: the destination rejects everyone", Do: "Look at the mapping and ask the vendor. " + probed, Runbook: "UserSyncDestinationHeld"}, true
	case metrics.StateRefused:
		return problem{
			Say: "held: the destination refuses the credentials, the account or the URL",
			Do:  "Mend them; files are read again before each probe, without a restart. " + probed, Runbook: "UserSyncDestinationRefused",
		}, true
	case metrics.StateThrottled:
		return problem{
			Say: "the destination asked to be left alone for a while (429)",
			Do:  "It goes on by itself; a lower rate_limit spares that.", Runbook: "UserSyncDestinationThrottled", mild: true,
		}, true
	case metrics.StateUnmapped:
		return problem{
			Say: "rows have no payload, and no later row has one", Do: "If a column was renamed, change the mapping and restart. To see what is made of a record:",
			Command: "usersync map -c FILE", Runbook: "UserSyncUnmappedUsers",
		}, true
	case metrics.StatePaused:
		return problem{
			Say: "an operator has paused the destination", Do: "To let calls flow:",
			Command: "usersync resume " + destination + " -c FILE", Runbook: "UserSyncPaused",
		}, true
	case metrics.StateLatched:
		return problem{
			Say:     fmt.Sprintf("latched: more records are at fault than dead_letters.budget (%d), so none is given up", budget),
			Do:      "Look at the vendor and the mapping first. To give up all that is about to be:",
			Command: "usersync dead-letters accept " + destination + " -c FILE", Runbook: "UserSyncDeadLettersLatched",
		}, true
	default:
		return problem{Say: "the state of the lane is " + state, Do: "The log says why."}, true
	}
}

// lastCode is that of the newest failure that explains a state.
func lastCode(state string, failures []metrics.Failure) string {
	what := state
	if state == metrics.StateUnmapped {
		what = "invalid_payload"
	}
	for _, f := range failures {
		if f.What != what {
			continue
		}
		if f.Field != "" {
			return clip(f.Code) + ", field " + clip(f.Field)
		}
		return clip(f.Code)
	}
	return ""
}

type counted struct {
	reason string
	n      float64
}

// countBy counts the partitions that have a reason, in the order of the first of each.
func countBy(ps []partition, reason func(partition) string) []counted {
	var all []counted
	for _, p := range ps {
		why := reason(p)
		if why == "" {
			continue
		}
		i := slices.IndexFunc(all, func(c counted) bool { return c.reason == why })
		if i < 0 {
			i = len(all)
			all = append(all, counted{reason: why})
		}
		all[i].n++
	}
	return all
}
