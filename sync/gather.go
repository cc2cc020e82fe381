package sync

// Gather has the changes of at's partition that come in from now on wait until Gathered:
// more of it is about to be read, and all changes of a user that come in meanwhile are
// one call. What waits already keeps its turn, so a change waits once at most, however
// often its partition is gathered. What was tried before does not wait at all.
func (l *Lane) Gather(at Position) {
	if l.gathering == nil {
		l.gathering = make(map[partition]*fifo)
	}
	if p := (partition{at.Topic, at.Partition}); l.gathering[p] == nil {
		l.gathering[p] = new(fifo)
	}
}

// Gathered lets them take their turn, in the order in which they came in.
func (l *Lane) Gathered(at Position) {
	p := partition{at.Topic, at.Partition}
	if q := l.gathering[p]; q != nil {
		l.fresh.push(q.tail...) // nobody has left it
		delete(l.gathering, p)
	}
}

// queue puts u, whose change was never tried, where it waits for its turn.
func (l *Lane) queue(u *user) {
	at := u.cur.change.Position
	if q := l.gathering[partition{at.Topic, at.Partition}]; q != nil {
		q.push(u)
	} else {
		l.fresh.push(u)
	}
}

// gathers is how many users wait for more to be read.
func (l *Lane) gathers() int {
	n := 0
	for _, q := range l.gathering {
		n += q.len()
	}
	return n
}
