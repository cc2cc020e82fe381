package sync

// Trust says how far [Delivered] is to be believed when it says that a change needs no call.
type Trust uint8

// The degrees of trust.
const (
	Trusted Trust = iota // the change is passed over
	Awaited              // it waits, for something is about to be learned that may say otherwise
	Doubted              // it is sent
)

// SetTrust says it of all changes from now on, and of those that wait. A change that does
// need a call waits for nothing.
func (l *Lane) SetTrust(t Trust) {
	if l.trust = t; t == Awaited {
		return
	}
	for u := l.awaiting.pop(); u != nil; u = l.awaiting.pop() {
		if u.state == awaiting { // else it was dropped, or has a newer change
			l.enqueue(u)
		}
	}
}

// await has u wait for more trust. Like one who is parked it is not active. Its payload
// is kept, and counts.
func (l *Lane) await(u *user) {
	l.become(u, awaiting)
	size := len(u.cur.body)
	u.cur.heap += size
	l.bytes += size
	l.awaiting.push(u)
}
