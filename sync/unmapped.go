package sync

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"usersync/metrics"
)

// unmappedUsers are those whose row has no payload. It may lack what a required
// field needs, or a column was renamed and every row lacks it. Which of the two
// shows when a later record of the topic gets a payload: then it is the row. Until
// then nobody is given up.
type unmappedUsers struct {
	newest map[partition]evidence // of the records that got a payload
	groups map[partition]*group
	count  int
	since  time.Time // no payload was made since then that proves anything
	why    error     // what the mapper said of the last
}

// group is the unmapped users of one partition. They are proven together.
type group struct {
	key   partition
	users map[*user]bool
	last  evidence
}

func newUnmapped() unmappedUsers {
	return unmappedUsers{newest: make(map[partition]evidence), groups: make(map[partition]*group)}
}

func (m *unmappedUsers) add(now time.Time, u *user, err error) {
	e := u.cur.change.evidence()
	g := m.groups[e.partition()]
	if g == nil {
		g = &group{key: e.partition(), users: make(map[*user]bool)}
		m.groups[g.key] = g
	}
	g.users[u] = true
	g.last = g.last.or(e)
	u.group, u.lacks, m.why = g, err, err
	m.count++
	if m.since.IsZero() {
		m.since = now
	}
}

func (m *unmappedUsers) remove(u *user) {
	delete(u.group.users, u)
	if len(u.group.users) == 0 {
		delete(m.groups, u.group.key)
	}
	u.group, u.lacks = nil, nil
	m.count--
}

// proven reports whether a later record than e got a payload.
func (m *unmappedUsers) proven(e evidence) bool {
	for _, n := range m.newest {
		if n.after(e) {
			return true
		}
	}
	return false
}

// got notes a record with a payload, and returns whom it proves to be at fault, in
// the order of their records.
func (m *unmappedUsers) got(e evidence) []*user {
	key := e.partition()
	m.newest[key] = m.newest[key].or(e)
	var proven []*user
	for _, g := range m.groups {
		if e.after(g.last) {
			proven = slices.AppendSeq(proven, maps.Keys(g.users))
		}
	}
	if len(proven) == m.count {
		m.since = time.Time{}
	}
	slices.SortFunc(proven, func(a, b *user) int {
		x, y := a.cur.change.Position, b.cur.change.Position
		return cmp.Or(cmp.Compare(x.Partition, y.Partition), cmp.Compare(x.Offset, y.Offset))
	})
	return proven
}

// state is what the lane shows once it is no matter of the next few records.
func (m *unmappedUsers) state(now time.Time, settle time.Duration) (state, code string) {
	if m.count == 0 || now.Sub(m.since) < settle {
		return "", ""
	}
	code, field := invalid(m.why)
	if field != "" {
		code += " (field " + field + ")"
	}
	return metrics.StateUnmapped, code
}

// payload makes the payload of u's change, unless it was made before, and reports
// whether there is one.
func (l *Lane) payload(now time.Time, u *user) bool {
	p := u.cur
	if p.body != nil {
		return true
	}
	payload, omitted, err := l.cfg.Mapper.Payload(&p.change)
	for _, o := range omitted {
		l.m.Lane.FieldsOmitted.Of(o.Field, o.Reason).Inc()
	}
	if err != nil {
		code, field := invalid(err)
		l.m.Failures.Note(now, reasonInvalid, code, field)
	}
	switch {
	case err == nil:
		p.body = payload.Body
		l.mapped(now, &p.change)
		return true
	case l.unmapped.proven(p.change.evidence()):
		l.condemn(now, u, err)
	default:
		l.become(u, unmapped)
		l.unmapped.add(now, u, err)
	}
	return false
}

// mapped gives up the users without a payload before c, which got one. What a delete
// sends shows nothing of rows.
func (l *Lane) mapped(now time.Time, c *Change) {
	if c.Op == Delete {
		return
	}
	for _, u := range l.unmapped.got(c.evidence()) {
		l.condemn(now, u, u.lacks)
	}
}

// condemn gives up u's change, which has no payload: err says why.
func (l *Lane) condemn(now time.Time, u *user, err error) {
	code, field := invalid(err)
	l.giveUp(now, u, reasonInvalid, code, field)
}
