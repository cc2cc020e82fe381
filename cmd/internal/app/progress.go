package app

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// progressEvery is how often long work says how far it is.
const progressEvery = 3 * time.Second

// progress says how far long work is, a line every few seconds. It is for people: its
// lines go beside the output. add may be called from several goroutines.
type progress struct {
	what  string
	total int64 // in the unit of done; 0: not known
	w     io.Writer

	records, done atomic.Int64
	end, ended    chan struct{}
}

// startProgress begins to say how far what is. Its owner calls stop.
func startProgress(w io.Writer, what string, total int64) *progress {
	p := &progress{what: what, total: total, w: w, end: make(chan struct{}), ended: make(chan struct{})}
	go p.run()
	return p
}

// add counts records that are dealt with, and how far that brings the work.
func (p *progress) add(records, done int64) {
	p.records.Add(records)
	p.done.Add(done)
}

// stop ends it; nothing is written after it returns.
func (p *progress) stop() {
	close(p.end)
	<-p.ended
}

func (p *progress) run() {
	defer close(p.ended)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.say()
		case <-p.end:
			return
		}
	}
}

func (p *progress) say() {
	percent := ""
	if p.total > 0 {
		percent = fmt.Sprintf(", %d%%", min(100, 100*p.done.Load()/p.total))
	}
	fmt.Fprintf(p.w, "%s: %s records%s\n", p.what, grouped(p.records.Load()), percent)
}

// grouped is n with a comma after every third digit.
func grouped(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}
