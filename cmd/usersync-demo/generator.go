package main

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	hotUsers  = 20                      // who get two thirds of all changes
	beat      = 20 * time.Millisecond   // between two portions of changes
	burstSize = 40                      // changes of a hot user at once
	burstGap  = 1500 * time.Millisecond // between two bursts
)

// generator changes the database as a company's software would, and tells of it
// as a connector would.
type generator struct {
	db   *database
	rng  *rand.Rand
	send func(change)
}

func newGenerator(db *database, seed uint64, send func(change)) *generator {
	return &generator{db: db, rng: rand.New(rand.NewPCG(seed, 1)), send: send}
}

// snapshot fills the database with n users. The connector reads them all first.
func (g *generator) snapshot(n int) {
	for range n {
		g.send(g.db.add(true))
	}
}

// run makes about rate changes a second until ctx ends, and a burst of changes of
// one user now and then.
func (g *generator) run(ctx context.Context, rate float64) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	begin := time.Now()
	burst := begin.Add(burstGap)
	for made := 0; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for ; float64(made) < rate*now.Sub(begin).Seconds() && ctx.Err() == nil; made++ {
				g.step()
			}
			if rate > 0 && now.After(burst) {
				burst = now.Add(burstGap)
				for range burstSize {
					g.send(g.db.update(1))
				}
			}
		}
	}
}

// step makes one change. Where a user goes a new one comes, so that their number
// stays.
func (g *generator) step() {
	switch n := g.rng.IntN(100); {
	case n < 2:
		for _, c := range g.db.remove() {
			g.send(c)
		}
		g.send(g.db.add(false))
	case n < 70:
		g.send(g.db.update(hotUsers))
	default:
		g.send(g.db.update(0))
	}
}
