package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	refresh     = 250 * time.Millisecond
	settleLimit = 60 * time.Second
	drainLimit  = 20 * time.Second
)

// demo is a whole deployment on one machine. Its own goroutine owns it.
type demo struct {
	options
	screen   *screen
	dir      string
	kafka    *kafka
	db       *database
	vendors  []*vendor
	worker   *worker
	letters  *mailbox
	begun    time.Time
	troubles []*trouble
	planted  int // users that no vendor takes
	presses  int

	view view
	told map[string]map[string]bool // states of lanes that were logged since the last trouble there
}

// run is the demo from beginning to end. It reports whether every user is right.
// When ctx ends it goes straight to the verdict; when hard ends it gives up.
func (d *demo) run(ctx, hard context.Context, keys <-chan byte) (right bool, err error) {
	defer func() { d.close(right) }()
	if err := d.start(hard); err != nil {
		return false, err
	}
	reading, end := context.WithCancel(hard)
	defer end()
	go d.kafka.letters(reading, d.letters.take)
	d.screen.header(d)
	d.begun = d.screen.begin()
	d.look(hard)

	if err := d.snapshot(ctx, hard, keys); err != nil {
		return false, err
	}
	if err := d.live(ctx, hard, keys); err != nil {
		return false, err
	}
	if err := d.settle(hard); err != nil {
		return false, err
	}
	return d.judge(), nil
}

// start brings everything up that users don't see.
func (d *demo) start(ctx context.Context) (err error) {
	d.db, d.letters, d.told = newDatabase(d.Seed), newMailbox(), map[string]map[string]bool{}
	if d.dir, err = os.MkdirTemp("", "usersync-demo-"); err != nil {
		return err
	}
	if d.kafka, err = startKafka(ctx, d.Brokers); err != nil {
		return err
	}
	if d.vendors, err = startVendors(d.dir); err != nil {
		return err
	}
	for _, v := range d.vendors {
		d.view.lanes = append(d.view.lanes, lane{vendor: v})
	}
	if err = writeConfig(d.path("usersync.yaml"), d.kafka, d.vendors); err != nil {
		return err
	}
	return d.startWorker()
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) startWorker() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	w, err := startWorker(ctx, d.path("usersync.yaml"), d.path("worker.log"))
	if w != nil {
		d.worker = w
	}
	return err
}

// close takes everything down. What a look at what went wrong needs, stays.
func (d *demo) close(right bool) {
	d.screen.finish()
	if d.worker != nil {
		d.worker.kill()
	}
	for _, v := range d.vendors {
		v.close()
	}
	if d.kafka != nil {
		d.kafka.close()
	}
	if right {
		_ = os.RemoveAll(d.dir) // it is in the system's directory for such
	} else {
		d.screen.printf("The worker's configuration and log are in %s\n", d.dir)
	}
}

// snapshot lets the connector read a full database, and waits until both vendors
// have it.
func (d *demo) snapshot(ctx, hard context.Context, keys <-chan byte) error {
	d.screen.logf("start", "the connector takes a snapshot of %s users", comma(int64(d.Users)))
	newGenerator(d.db, d.Seed, d.kafka.send).snapshot(d.Users)
	if err := d.kafka.flush(hard); err != nil {
		return fmt.Errorf("write the snapshot: %w", err)
	}
	limit := time.Now().Add(settleLimit + time.Duration(d.Users)*5*time.Millisecond)
	err := d.watch(ctx, hard, keys, func(now time.Time) bool { return d.caughtUp() || now.After(limit) })
	if err == nil && d.caughtUp() {
		d.screen.logf("start", "both vendors have all of them after %s", tenths(time.Since(d.begun)))
	}
	return err
}

// live lets users change, and troubles come, for as long as the demo is to last.
func (d *demo) live(ctx, hard context.Context, keys <-chan byte) error {
	kinds, err := chosen(d.Trouble)
	if err != nil {
		return err
	}
	now := time.Now()
	d.troubles = append(d.troubles, plan(kinds, d.vendors, now, d.Duration)...)
	d.screen.logf("start", "users change now, %.0f times a second, for %s", d.Rate, d.Duration)
	changing, stop := context.WithDeadline(ctx, now.Add(d.Duration))
	generated := make(chan struct{})
	go func() {
		defer close(generated)
		newGenerator(d.db, d.Seed, d.kafka.send).run(changing, d.Rate)
	}()
	err = d.watch(changing, hard, keys, func(time.Time) bool { return false })
	stop()
	<-generated
	return err
}

var errGivenUp = errors.New("given up before the verdict")

// watch goes on until done says so, ctx ends, or something has failed.
func (d *demo) watch(ctx, hard context.Context, keys <-chan byte, done func(now time.Time) bool) error {
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hard.Done():
			return errGivenUp
		case key := <-keys:
			d.press(key, time.Now())
		case now := <-tick.C:
			if err := d.step(hard); err != nil || done(now) {
				return err
			}
		}
	}
}

// step sees what there is, lets troubles begin and end, and shows it all.
func (d *demo) step(ctx context.Context) error {
	if d.worker.ended() && !d.killed() {
		return d.worker.err
	}
	d.look(ctx)
	if err := d.advance(time.Now()); err != nil {
		return err
	}
	d.screen.show(d.view)
	return nil
}

// killed reports whether the worker is down by the demo's own doing.
func (d *demo) killed() bool {
	for _, t := range d.troubles {
		if t.name == killed && t.running() {
			return true
		}
	}
	return false
}

// settle ends all troubles, waits until nothing is left to do and lets the worker
// drain.
func (d *demo) settle(ctx context.Context) error {
	var begun []*trouble // the others are off
	for _, t := range d.troubles {
		if t.running() {
			t.lasts = 0
		}
		if !t.began.IsZero() {
			begun = append(begun, t)
		}
	}
	d.troubles = begun
	if err := d.kafka.flush(ctx); err != nil {
		return fmt.Errorf("write the last changes: %w", err)
	}
	d.screen.logf("settle", "no more changes and no more trouble; what is left is worked off")
	limit := time.Now().Add(settleLimit)
	if err := d.watch(context.WithoutCancel(ctx), ctx, nil, func(now time.Time) bool { return d.settled() || now.After(limit) }); err != nil {
		return err
	}
	if err := d.worker.stop(drainLimit); err != nil {
		return err
	}
	d.screen.logf("settle", "the worker has drained, left its groups and ended")
	return nil
}

// caughtUp reports whether both groups have committed all there is.
func (d *demo) caughtUp() bool {
	written := d.kafka.written()
	for _, l := range d.view.lanes {
		if !l.committed.covers(written) {
			return false
		}
	}
	return true
}

// settled reports whether nothing is left to do, and what was planted is where it
// belongs.
func (d *demo) settled() bool {
	for _, t := range d.troubles {
		if t.healed.IsZero() {
			return false
		}
	}
	for _, l := range d.view.lanes {
		if l.planted < d.planted {
			return false
		}
	}
	return d.caughtUp()
}

// judge compares both vendors with the database, now that nothing moves any more,
// and prints the verdict.
func (d *demo) judge() bool {
	d.look(context.Background())
	r := result{tally: d.db.tally(), took: time.Since(d.begun), planted: d.planted, view: d.view}
	for _, t := range d.troubles {
		r.troubles = append(r.troubles, outcome{
			trouble: t, at: t.began.Sub(d.begun), lasted: t.ended.Sub(t.began), healed: t.healed.Sub(t.ended),
		})
	}
	d.screen.finish()
	d.screen.printf("%s", r.text())
	return r.right()
}
