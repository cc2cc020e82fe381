package main

// operators answers what somebody asks who was woken: is every user in sync, since when
// not, at which destination, and why.
func operators() dashboard {
	return build("usersync / operators", "usersync-operators",
		"Is every user in sync; since when not, at which destination, and why.", "In depth", []row{
			{title: "Is every user in sync?", panels: inSync()},
			{title: "$destination: since when not, and why", repeat: true, panels: destination()},
		})
}

func inSync() []panel {
	return []panel{
		number("Oldest change that waits", "s", "How long ago the source committed the oldest change that the destination does not have; 0 when none waits. One bad record alone may wait for a quarter of an hour.",
			query{`namespace_job_release_destination:usersync_pending_age_seconds:max{$rule}`, deployment + "{{destination}}"}, 60, 30*60).page("UserSyncStale"),
		number("Late in the last hour", "percentunit", "The part of the changes that was delivered more than a minute after its commit in the source. The objective is 1%.",
			query{`namespace_job_release_destination:usersync_late_changes:ratio_rate1h{$rule}`, deployment + "{{destination}}"}, .01, .144).page("UserSyncFreshnessBurn"),
		number("Dead letters in 24 hours", "none", "Changes that were given up. Their users are wrong until they change again or are replayed; usersync dead-letters list says which are still open.",
			query{`sum by (namespace, job, release, destination) (increase(usersync_dead_letters_total{$own}[24h]))`, deployment + "{{destination}}"}, 1, 50).page("UserSyncDeadLetters").show("decimals", 0),
		number("Partitions halted", "none", "Partitions that are not read any more until somebody accepts what is lost: usersync offsets accept-loss.",
			query{`sum by (namespace, job, release, destination) (usersync_consumer_partition_halted{$own}) or 0 * sum by (namespace, job, release, destination) (usersync_lease_valid{$own})`, deployment + "{{destination}}"}, 1, 1).page("UserSyncPartitionHalted"),
		number("Records behind", "short", "Log end minus the offset that may be committed. It stays up for a minute after a lost reply although everything was delivered.",
			query{`sum by (namespace, job, release, destination) (namespace_job_release_destination_topic:usersync_consumer_lag_records:sum{$rule})`, deployment + "{{destination}}"}, 1000, 100_000).page("UserSyncLagGrowing"),
		number("Users given up or without payload", "none", "Changes that wait because they, or the mapping, are at fault: about to become dead letters, records that cannot be decoded among them, or of users without a payload.",
			query{`sum by (namespace, job, release, destination) (usersync_dead_letters_waiting{$own}) + sum by (namespace, job, release, destination) (usersync_unmapped_users{$own})`, deployment + "{{destination}}"}, 1, 50).page("UserSyncDeadLettersLatched"),
		workers(),
		number("Deliveries", "reqps", "Changes that the destination took in the last minutes, per second.",
			query{`sum by (namespace, job, release, destination) (rate(usersync_deliveries_total{$own, outcome="delivered"}[$__rate_interval]))`, deployment + "{{destination}}"}),
		table("Alerts that fire", "Each name is the name of its runbook.",
			query{`group by (alertname, severity, namespace, release, destination, reason, topic, partition, instance) (ALERTS{alertname=~"UserSync.*", alertstate="firing", namespace=~"$namespace"})`, ""}).linked(),
	}
}

// workers is red where the others are green: few are bad.
func workers() panel {
	p := number("Workers that answer", "none", "Targets of the scrape that are up.",
		query{`sum by (namespace, job, release) (up{namespace=~"$namespace", job=~"$job"})`, "{{namespace}} {{release}}"}).page("UserSyncDown")
	return p.show("thresholds", object{"mode": "absolute", "steps": []object{{"color": "red", "value": nil}, {"color": "green", "value": 1}}})
}

// linked makes each alert's name a link to its runbook.
func (p panel) linked() panel {
	p.FieldConfig.Overrides = []object{{
		"matcher": object{"id": "byName", "options": "alertname"},
		"properties": []object{{"id": "links", "value": []object{
			{"title": "Runbook", "url": runbook("${__value.text}"), "targetBlank": true},
		}}},
	}, {
		"matcher":    object{"id": "byRegexp", "options": "Time|Value.*"},
		"properties": []object{{"id": "custom.hidden", "value": true}},
	}}
	return p
}

func destination() []panel {
	return []panel{
		bands("Lane", "The state of each process's lane, the worst of them: held (failed, rejected, refused), throttled, unmapped, paused, latched. No band: it runs.",
			query{`max by (namespace, release, reason) (usersync_lane_state{$own, reason!="running"})`, deployment + "{{reason}}"}).page("UserSyncDestinationHeld"),
		graph("Oldest change that waits", "s", "Seconds since the source committed it.",
			query{`namespace_job_release_destination:usersync_pending_age_seconds:max{$rule}`, "{{namespace}} {{release}}"}).page("UserSyncStale"),
		graph("Late changes", "percentunit", "The part of the changes that was delivered more than a minute after its commit in the source: in the last 5 minutes, the last hour, and six.",
			query{`namespace_job_release_destination:usersync_late_changes:ratio_rate5m{$rule}`, deployment + "5m"},
			query{`namespace_job_release_destination:usersync_late_changes:ratio_rate1h{$rule}`, deployment + "1h"},
			query{`namespace_job_release_destination:usersync_late_changes:ratio_rate6h{$rule}`, deployment + "6h"}).page("UserSyncFreshnessBurn"),
		graph("Settled changes", "ops", "What became of changes: delivered, given up, or no call needed.",
			query{`sum by (namespace, release, outcome) (rate(usersync_deliveries_total{$own}[$__rate_interval]))`, deployment + "{{outcome}}"}).page("UserSyncStalled"),
		graph("Calls by verdict", "ops", "ok; rejected: the vendor judges the record; failed: it may be different next time; refused: it judges our key, account or URL, be it inside a 200; unsent: given up before anything was sent.",
			query{`sum by (namespace, release, verdict) (rate(usersync_attempts_total{$own}[$__rate_interval]))`, deployment + "{{verdict}}"}).page("UserSyncDestinationFailing"),
		graph("Time of a request", "s", "From its start to the reply's headers, or the error.",
			query{`histogram_quantile(0.5, sum by (namespace, release, le) (rate(usersync_http_request_duration_seconds_bucket{$own}[$__rate_interval])))`, deployment + "p50"},
			query{`histogram_quantile(0.95, sum by (namespace, release, le) (rate(usersync_http_request_duration_seconds_bucket{$own}[$__rate_interval])))`, deployment + "p95"}).page("UserSyncDestinationSlow"),
		graph("Records behind", "short", "By topic, over all partitions.",
			query{`sum by (namespace, release, topic) (namespace_job_release_destination_topic:usersync_consumer_lag_records:sum{$rule})`, deployment + "{{topic}}"}).page("UserSyncLagGrowing"),
		graph("Users that wait", "none", "For their turn; for their next attempt; for a row that has a payload; to be given up.",
			query{`sum by (namespace, release) (usersync_queue_users{$own})`, deployment + "waiting"}, query{`sum by (namespace, release) (usersync_backoff_users{$own})`, deployment + "in backoff"},
			query{`sum by (namespace, release) (usersync_unmapped_users{$own})`, deployment + "unmapped"}, query{`sum by (namespace, release) (usersync_dead_letters_waiting{$own})`, deployment + "given up, not written"}).page("UserSyncStale"),
		graph("Until retention deletes what was not delivered", "s", "At the pace of the last hours, the worst partition. No line: nothing waits, or the log's start does not move.",
			query{`min by (namespace, release, topic) (usersync_consumer_retention_headroom_seconds{$own}) < Inf`, deployment + "{{topic}}"}).page("UserSyncRetentionHeadroom"),
	}
}
