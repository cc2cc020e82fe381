package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"usersync/e2e/bench/internal/byhand"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// The packages that are built, beside the contenders' own.
const (
	workerPackage  = "usersync/cmd/usersync"
	vendorsPackage = "usersync/e2e/vendors/usersync-vendors"
	ownPackages    = "usersync/e2e/bench/contenders/"
)

// kind says how a contender is known to be done.
type kind int

const (
	group  kind = iota // a consumer group that calls: when all is committed
	caller             // it calls without Kafka, and says that it is done
	reader             // it reads and calls nobody, and says that it is done
)

// contender is one way to do the work, or a part of it.
type contender struct {
	name, about string
	kind        kind
	pkg         string // what is built for it; "" if that is not Go
	again       bool   // it takes part where users have not changed
	args        func(b *bench, j job) ([]string, error)
}

// job is what a contender has to do in one run.
type job struct {
	cell
	name     string
	topic    string
	group    string  // for contenders that are one; the worker adds its destination
	from, to []int64 // the records, by partition
	bodies   string  // a file with the calls of the least there is, a line each
	urls     map[string]string
	vendor   *vendor // that is called; nil where no call is to be made
	state    string  // topic for what was delivered; "" for none
	limit    time.Duration
}

// The names of those that others are compared with, or that need something.
const (
	nameWorker = "worker"
	nameLoop   = "loop"
	nameValid  = "valid"
	nameDecode = "decode"
	nameJava   = "parallel-consumer"
)

var contenders = []contender{
	{name: nameWorker, about: "`usersync run --destination taptalk`", kind: group, pkg: workerPackage, again: true, args: (*bench).worker},
	{name: nameLoop, about: "a bare `net/http` loop: one call for each user, and nothing else", kind: caller, pkg: ownPackages + "loop", args: loop},
	{name: "fetch", about: "a bare kafka-go fetch loop", kind: reader, pkg: ownPackages + "fetch", again: true, args: fetch("nothing")},
	{name: nameValid, about: "a bare fetch loop, and `json.Valid` of each record", kind: reader, pkg: ownPackages + "fetch", again: true, args: fetch("valid")},
	{name: nameDecode, about: "a bare fetch loop, and each record decoded with `encoding/json`", kind: reader, pkg: ownPackages + "fetch", again: true, args: fetch("decode")},
	{name: "ordered", about: "kafka-go's `Reader`, one record after the other, a commit after each", kind: group, pkg: ownPackages + "ordered", args: byHand},
	{name: "pool", about: "kafka-go's `Reader`, a pool of goroutines in no order", kind: group, pkg: ownPackages + "pool", args: byHand},
	{name: nameJava, about: "Confluent Parallel Consumer, KEY order; each time a new JVM, with a heap of 512 MB at most", kind: group, args: (*bench).parallel},
}

func contenderNamed(name string) (contender, bool) {
	i := slices.IndexFunc(contenders, func(c contender) bool { return c.name == name })
	if i < 0 {
		return contender{}, false
	}
	return contenders[i], true
}

// groupID is the group that a contender is in.
func (c contender) groupID(j job) string {
	if c.name == nameWorker {
		return j.group + "." + vendors.TapTalk
	}
	return j.group
}

// worker writes the configuration with which the worker runs: the product's own
// defaults, but for what the job says and the rate limit.
func (b *bench) worker(j job) ([]string, error) {
	d := worker.Deployment{Broker: b.kafka.Client, Config: worker.Config{}}
	d.Patient()
	more := worker.Config{
		"kafka.topics":                     []string{j.topic},
		"kafka.group_id":                   j.group,
		"kafka.dead_letter_topic":          deadLetters,
		"dead_letters.settle":              nil,
		"destinations.taptalk.concurrency": j.Concurrency,
	}
	if j.state != "" {
		more["kafka.state_topic"], more["kafka.state_topic_create"] = j.state, true
	}
	text, err := d.File(j.urls, more)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(b.dir, j.name+".yaml")
	return []string{"run", "-c", file, "--destination", vendors.TapTalk}, os.WriteFile(file, text, 0o600)
}

func loop(_ *bench, j job) ([]string, error) {
	return []string{"-url", j.urls[vendors.TapTalk], "-concurrency", strconv.Itoa(j.Concurrency), j.bodies}, nil
}

func fetch(look string) func(*bench, job) ([]string, error) {
	return func(b *bench, j job) ([]string, error) {
		return []string{"-brokers", b.kafka.Addr(), "-topic", j.topic, "-look", look, "-from", list(j.from), "-to", list(j.to)}, nil
	}
}

func list(offsets []int64) string {
	var text []string
	for _, o := range offsets {
		text = append(text, strconv.FormatInt(o, 10))
	}
	return strings.Join(text, ",")
}

// byHand is for the consumers in Go that people write.
func byHand(b *bench, j job) ([]string, error) {
	return []string{
		"-brokers", b.kafka.Addr(), "-topic", j.topic, "-group", j.group,
		"-url", j.urls[vendors.TapTalk], "-concurrency", strconv.Itoa(j.Concurrency),
	}, nil
}

// parallel runs the class that was compiled at the start. The heap is bounded: Java would
// take a quarter of the machine.
func (b *bench) parallel(j job) ([]string, error) {
	return []string{
		"-Xmx512m", "-cp", b.classpath, "Parallel", b.kafka.Addr(), j.topic, j.group,
		j.urls[vendors.TapTalk], byhand.ServerKey, strconv.Itoa(j.Concurrency),
	}, nil
}
