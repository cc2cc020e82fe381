package main

import (
	"math/rand/v2"
	"slices"
)

// workload is which users change, and in which order.
type workload struct {
	name, about string
	// users and changes are how many there are unless the flags say otherwise.
	users, changes int
	order          func(random *rand.Rand, users, changes int) []int
	// again: the changes are delivered before anything is measured, and then come once
	// more, unchanged, to who remembers what was delivered.
	again bool
}

var workloads = []workload{
	{name: "hot", about: "each user changes about four times", users: 4_903, changes: 20_000, order: uniform},
	{name: "flat", about: "each user changes once", users: 20_000, changes: 20_000, order: uniform},
	{name: "skewed", about: "few users have most changes (Zipf, s = 1.2)", users: 50_000, changes: 200_000, order: zipf},
	{name: "resnapshot", about: "a snapshot of users who have not changed", users: 1_000_000, changes: 1_000_000, order: inTurn, again: true},
}

func workloadNamed(name string) (workload, bool) {
	i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })
	if i < 0 {
		return workload{}, false
	}
	return workloads[i], true
}

// uniform has each user change once, as far as the changes reach, and the rest of the
// changes be anybody's.
func uniform(random *rand.Rand, users, changes int) []int {
	order := make([]int, changes)
	for i := range order {
		if order[i] = i + 1; i >= users {
			order[i] = 1 + random.IntN(users)
		}
	}
	random.Shuffle(changes, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// zipf draws each change's user anew: the first is the one with the most. Not all of
// them change.
func zipf(random *rand.Rand, users, changes int) []int {
	draw := rand.NewZipf(random, 1.2, 1, uint64(users-1))
	order := make([]int, changes)
	for i := range order {
		order[i] = 1 + int(draw.Uint64())
	}
	return order
}

// inTurn is the order of a snapshot.
func inTurn(_ *rand.Rand, users, changes int) []int {
	order := make([]int, changes)
	for i := range order {
		order[i] = 1 + i%users
	}
	return order
}

// change is one version of a user, from 1.
type change struct{ user, version int }

// sized returns the workload with other numbers; with one of them 0 the other decides, so
// that a user has as many changes as before.
func (w workload) sized(users, changes int) workload {
	switch {
	case users > 0 && changes > 0:
		w.users, w.changes = users, changes
	case users > 0:
		w.users, w.changes = users, max(1, users*w.changes/w.users)
	case changes > 0:
		w.users, w.changes = max(2, changes*w.users/w.changes), changes
	}
	return w
}

// sequence returns the changes, the same ones each time.
func (w workload) sequence() []change {
	random := rand.New(rand.NewPCG(1, 2))
	newest := map[int]int{}
	var all []change
	for _, user := range w.order(random, w.users, w.changes) {
		newest[user]++
		all = append(all, change{user, newest[user]})
	}
	return all
}

// final returns the newest version of each user that changes: what a vendor must hold in
// the end.
func final(changes []change) map[int]int {
	newest := map[int]int{}
	for _, c := range changes {
		newest[c.user] = max(newest[c.user], c.version)
	}
	return newest
}

// last returns the newest change of each user, in the order of the first ones: the calls
// that are the least there is.
func last(changes []change) []change {
	newest := final(changes)
	var all []change
	for _, c := range changes {
		if c.version == 1 {
			all = append(all, change{c.user, newest[c.user]})
		}
	}
	return all
}
