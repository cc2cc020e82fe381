package main

import "fmt"

// depth shows everything that a worker exposes, from the brokers to the vendor, for who
// looks for a cause.
func depth() dashboard {
	return build("usersync / depth", "usersync-depth",
		"Everything that the workers expose: Kafka, lane, HTTP, records, dead letters, state, process.", "For operators", []row{
			{title: "$destination: Kafka", repeat: true, panels: kafka()},
			{title: "$destination: lane", repeat: true, folded: true, panels: lane()},
			{title: "$destination: HTTP", repeat: true, folded: true, panels: requests()},
			{title: "$destination: records", repeat: true, folded: true, panels: records()},
			{title: "$destination: dead letters", repeat: true, folded: true, panels: letters()},
			{title: "$destination: delivered state", repeat: true, folded: true, panels: state()},
			{title: "Process", folded: true, panels: process()},
		})
}

// rate is a counter per second, by some labels.
func rate(metric, by, legend string) query {
	return query{fmt.Sprintf(`sum by (namespace, release, %s) (rate(%s{$own}[$__rate_interval]))`, by, metric), deployment + legend}
}

// sum is a gauge over all pods, by some labels.
func sum(metric, by, legend string) query {
	return query{fmt.Sprintf(`sum by (namespace, release, %s) (%s{$own})`, by, metric), deployment + legend}
}

// worst is a gauge of each pod.
func worst(metric, legend string) query {
	return query{fmt.Sprintf(`max by (namespace, release, pod) (%s{$own})`, metric), deployment + legend}
}

// quantiles of a histogram over all pods.
func quantiles(metric string) []query {
	var all []query
	for _, q := range []string{"0.5", "0.95", "0.99"} {
		all = append(all, query{fmt.Sprintf(`histogram_quantile(%s, sum by (namespace, release, le) (rate(%s_bucket{$own}[$__rate_interval])))`, q, metric), deployment + "p" + q[2:]})
	}
	return all
}

func kafka() []panel {
	return []panel{
		graph("Records fetched", "ops", "By topic.", rate("usersync_consumer_records_total", "topic", "{{topic}}")),
		graph("Lag", "short", "Log end minus the offset that may be committed, by partition.",
			query{`max by (namespace, release, topic, partition) (usersync_consumer_lag_records{$own})`, deployment + "{{topic}}/{{partition}}"}).page("UserSyncLagGrowing"),
		graph("Read and not committed", "short", "Offset up to which records were read minus the offset that may be committed, by partition: what a new owner reads again.",
			query{`max by (namespace, release, topic, partition) (usersync_consumer_uncommitted_records{$own})`, deployment + "{{topic}}/{{partition}}"}),
		graph("Commits", "ops", "By outcome. An idle worker commits every five seconds; stale ones are answered to a member that is none any more.",
			rate("usersync_consumer_commits_total", "outcome", "{{outcome}}")).page("UserSyncNotMember"),
		graph("Time of a commit", "s", "From the request to its answer.", quantiles("usersync_consumer_commit_duration_seconds")...),
		graph("Since the last commit", "s", "Since the last one that was accepted, by pod; calls start only while it is young.",
			query{`time() - max by (namespace, release, pod) (usersync_consumer_last_commit_timestamp_seconds{$own} > 0)`, deployment + "{{pod}}"}).page("UserSyncNotMember"),
		graph("Lease", "none", "1 while a recent commit proves membership, so that calls may start, by pod.", worst("usersync_lease_valid", "{{pod}}")).page("UserSyncNotMember"),
		graph("Partitions owned", "none", "By pod and topic, and how many the topic has: what is missing between the two nobody reads.",
			query{`sum by (namespace, release, pod, topic) (usersync_consumer_assigned_partitions{$own})`, deployment + "{{pod}} {{topic}}"},
			query{`max by (namespace, release, topic) (usersync_consumer_topic_partitions{$own})`, deployment + "all of {{topic}}"}).page("UserSyncPartitionsUnseen"),
		graph("Settled", "ops", "Offsets a second by which the first record moves on that is not settled, by partition.",
			query{`max by (namespace, release, topic, partition) (deriv(usersync_consumer_frontier_offset{$own}[$__rate_interval]))`, deployment + "{{topic}}/{{partition}}"}),
		graph("Requests that failed", "ops", "By operation.", rate("usersync_consumer_errors_total", "op", "{{op}}")).page("UserSyncNotMember"),
		graph("Generations", "none", "Joined within 30 minutes, by pod.",
			query{`max by (namespace, release, pod) (increase(usersync_consumer_generations_total{$own}[30m]))`, deployment + "{{pod}}"}).page("UserSyncRebalancing"),
		graph("Drains", "ops", "Ends of generations: complete, or cut when calls took longer than shutdown.drain_timeout.",
			rate("usersync_consumer_drains_total", "outcome", "{{outcome}}")).page("UserSyncRebalancing"),
		graph("Time of a drain", "s", "From a revoke or a shutdown until the last call had ended.", quantiles("usersync_consumer_drain_duration_seconds")...),
		bands("Partitions that stand", "Halted until somebody decides, or not read yet, by the reason.",
			query{`max by (namespace, release, topic, partition, reason) (usersync_consumer_partition_halted{$own})`, deployment + "{{topic}}/{{partition}} halted: {{reason}}"},
			query{`max by (namespace, release, topic, partition, reason) (usersync_consumer_partition_waiting{$own})`, deployment + "{{topic}}/{{partition}} waits: {{reason}}"}).page("UserSyncPartitionHalted"),
		graph("Retention headroom", "short", "Records that retention may still delete before it deletes one that was not delivered, by partition.",
			query{`min by (namespace, release, topic, partition) (usersync_consumer_retention_headroom_records{$own})`, deployment + "{{topic}}/{{partition}}"}).page("UserSyncRetentionHeadroom"),
		graph("Waits for the announcement", "ops", "Times that changes waited for the commit that announces calls for them.",
			rate("usersync_consumer_end_ahead_waits_total", "pod", "{{pod}}")),
		graph("Control topic", "none", "Cannot be read (1), and records in it that this version does not understand.",
			query{`max by (namespace, release) (usersync_control_unreadable{$own})`, deployment + "unreadable"}, query{`max by (namespace, release) (usersync_control_ignored_records{$own})`, deployment + "ignored records"}).page("UserSyncControlUnreadable"),
	}
}

func lane() []panel {
	return []panel{
		graph("In its state for", "s", "How long each process's lane has been in the state that it is in, held or running.",
			query{`max by (namespace, release, pod) (time() - usersync_lane_state_timestamp_seconds{$own})`, deployment + "{{pod}}"}).page("UserSyncDestinationHeld"),
		graph("Users that wait", "none", "Waiting for their turn, by pod; and those of them who wait for two seconds at most until more of a backlog is read.",
			sum("usersync_queue_users", "pod", "{{pod}}"), query{`sum by (namespace, release) (usersync_gathering_users{$own})`, deployment + "for more to be read, all pods"},
			query{`sum by (namespace, release) (usersync_withheld_users{$own})`, deployment + "for what the last owner may have delivered, all pods"},
			query{`sum by (namespace, release) (usersync_awaiting_users{$own})`, deployment + "for another partition's state, all pods"}),
		graph("Time until the first call", "s", "From a change's arrival to the start of its first call.", quantiles("usersync_queue_wait_seconds")...),
		graph("From the source to the destination", "s", "From the source's commit of a change to its delivery.", quantiles("usersync_event_delivery_seconds")...).page("UserSyncFreshnessBurn"),
		graph("Calls in flight", "none", "And how many may be.",
			sum("usersync_inflight_users", "pod", "{{pod}}"), query{`sum by (namespace, release) (usersync_workers{$own})`, deployment + "may be, all pods"}).page("UserSyncSaturated"),
		graph("Window", "bytes", "Estimated heap of what waits, and how much may; at it reading stops.",
			worst("usersync_queue_bytes", "{{pod}}"), query{`max by (namespace, release) (usersync_queue_limit_bytes{$own})`, deployment + "window_bytes"}).page("UserSyncWindowFull"),
		graph("In backoff", "none", "Users that wait for the time of their next attempt.", sum("usersync_backoff_users", "pod", "{{pod}}")),
		graph("Rate that is allowed", "reqps", "Requests a second that a process may make now, less what 429s took off and, for seconds, the end of an outage; 0: no limit.",
			worst("usersync_rate_limit_calls_per_second", "{{pod}}")).page("UserSyncDestinationThrottled"),
		graph("Time spent waiting for the limiter", "percentunit", "Seconds a second, over all calls: above 1, more than one waits at a time.",
			rate("usersync_throttle_wait_seconds_total", "pod", "{{pod}}")).page("UserSyncDestinationThrottled"),
		graph("Calls saved", "ops", "Changes that needed no call of their own: a newer one came in time, or the destination was known to hold something newer.",
			rate("usersync_events_deduplicated_total", "reason", "{{reason}}"),
			query{`sum by (namespace, release) (rate(usersync_deliveries_total{$own, outcome="unchanged"}[$__rate_interval]))`, deployment + "unchanged"}),
		graph("Attempts that are repeated", "ops", "By the verdict that made it necessary.", rate("usersync_retries_total", "reason", "{{reason}}")),
		graph("Calls to learn something", "ops", "Control calls repeat a delivered payload to learn who is at fault; confirm calls repeat the newest after a lost reply.",
			query{`sum by (namespace, release) (rate(usersync_control_calls_total{$own}[$__rate_interval]))`, deployment + "control"}, query{`sum by (namespace, release) (rate(usersync_confirm_calls_total{$own}[$__rate_interval]))`, deployment + "confirm"}),
		graph("Since the last success", "s", "Since a change was last delivered.",
			query{`time() - max by (namespace, release) (usersync_last_success_timestamp_seconds{$own} > 0)`, deployment + "all pods"}),
	}
}

func requests() []panel {
	return []panel{
		graph("Requests by code", "reqps", "error: there was no reply.", rate("usersync_http_requests_total", "code", "{{code}}")),
		graph("Time of a request", "s", "From its start to the reply's headers, or the error.", quantiles("usersync_http_request_duration_seconds")...).page("UserSyncDestinationSlow"),
		graph("Failed attempts", "percentunit", "By the verdict, of all that were sent.",
			query{`namespace_job_release_destination:usersync_failed_attempts:ratio_rate5m{$rule}`, "{{namespace}} {{release}}"}).page("UserSyncDestinationFailing"),
		graph("Lost replies", "ops", "Calls that the destination may or may not have applied, by error code.",
			rate("usersync_ambiguous_calls_total", "code", "{{code}}")).page("UserSyncRepliesLost"),
		graph("Users in doubt", "none", "With a call that may still be applied, by pod.", sum("usersync_ambiguous_users", "pod", "{{pod}}")).page("UserSyncRepliesLost"),
	}
}

func records() []panel {
	return []panel{
		graph("Records by operation", "ops", "And what became of them.", rate("usersync_events_total", "op, outcome", "{{op}} {{outcome}}")),
		graph("Skipped", "ops", "By the rule that skips them.", rate("usersync_events_skipped_total", "reason", "{{reason}}")),
		graph("Undecodable", "ops", "By error code.", rate("usersync_events_undecodable_total", "code", "{{code}}")).page("UserSyncUndecodableRecords"),
		graph("Fields left out", "ops", "Fields without a value to send, by the destination's name of the field.",
			rate("usersync_fields_omitted_total", "field, reason", "{{field}}: {{reason}}")),
		graph("Conflicts", "ops", "Changes of a user that came from another partition than earlier ones.",
			rate("usersync_partition_conflicts_total", "pod", "{{pod}}")).page("UserSyncPartitionConflicts"),
		graph("Retry topic", "ops", "Records that operators have written, by what became of them.",
			rate("usersync_retry_records_total", "outcome", "{{outcome}}")).page("UserSyncRetriesUnusable"),
	}
}

func letters() []panel {
	return []panel{
		graph("Written", "ops", "By reason.", rate("usersync_dead_letters_total", "reason", "{{reason}}")).page("UserSyncDeadLetters"),
		graph("Waiting", "none", "Records that are eligible and not written yet, records that cannot be decoded, and users without a payload.",
			sum("usersync_dead_letters_waiting", "destination", "eligible"), sum("usersync_undecodable_records_waiting", "destination", "undecodable"),
			sum("usersync_unmapped_users", "destination", "unmapped")).page("UserSyncUnmappedUsers"),
		graph("Latched, and writes that fail", "none", "1 while more are eligible than the budget allows; failed writes a second.",
			query{`max by (namespace, release) (usersync_dead_letters_latched{$own})`, deployment + "latched"},
			query{`sum by (namespace, release) (rate(usersync_dead_letter_write_failures_total{$own}[$__rate_interval]))`, deployment + "failures a second"}).page("UserSyncDeadLettersLatched"),
	}
}

func state() []panel {
	return []panel{
		graph("Users remembered", "short", "Of whom it is known what was delivered, by pod.", sum("usersync_state_entries", "pod", "{{pod}}")),
		graph("Writes", "ops", "To the state topic, by outcome.", rate("usersync_state_writes_total", "outcome", "{{outcome}}")).page("UserSyncStateUnwritable"),
		graph("Not written yet", "none", "The offsets that depend on these wait.", sum("usersync_state_pending_writes", "pod", "{{pod}}")).page("UserSyncStateUnwritable"),
		graph("Loaded", "ops", "Records of the state topic a second, by pod.", rate("usersync_state_loaded_records_total", "pod", "{{pod}}")),
		graph("Partitions that load", "none", "Owned partitions that wait until their state is loaded.", sum("usersync_state_loading_partitions", "pod", "{{pod}}")).page("UserSyncPartitionWaiting"),
		graph("Became unknown", "ops", "Times that it became unknown what a user's version is, by cause. Each may cost a call.",
			rate("usersync_state_unknown_total", "cause", "{{cause}}")),
	}
}

func process() []panel {
	own := func(metric string) query {
		return query{fmt.Sprintf(`max by (namespace, release, pod) (%s{$process})`, metric), deployment + "{{pod}}"}
	}
	return []panel{
		graph("CPU", "none", "Cores.", query{`sum by (namespace, release, pod) (rate(process_cpu_seconds_total{$process}[$__rate_interval]))`, deployment + "{{pod}}"}),
		graph("Resident memory", "bytes", "By pod.", own("process_resident_memory_bytes")),
		graph("Heap in use", "bytes", "By pod.", own("go_memstats_heap_inuse_bytes")),
		graph("Goroutines", "none", "By pod.", own("go_goroutines")),
		// "1" in Prometheus' own format, "1.0" in OpenMetrics.
		graph("Longest pause of the garbage collector", "s", "Of the latest cycles, by pod.",
			query{`max by (namespace, release, pod) (go_gc_duration_seconds{$process, quantile=~"1|1.0"})`, deployment + "{{pod}}"}),
		graph("Open files", "none", "Connections among them, by pod.", own("process_open_fds")),
		graph("Uptime", "s", "Since the process started, by pod.", query{`time() - max by (namespace, release, pod) (process_start_time_seconds{$process})`, deployment + "{{pod}}"}).page("UserSyncRestarting"),
		table("Builds", "Which version runs where.", query{`group by (namespace, job, release, pod, version, revision, goversion) (usersync_build_info{$process})`, ""}).wide(16),
	}
}
