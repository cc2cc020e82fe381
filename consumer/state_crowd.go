package consumer

import "encoding/binary"

// crowd tells who may be in the tables of more than one partition without asking each of
// them: with a thousand, that takes longer than all else that a delivery takes here. Each
// user has two bits, at places that its hash gives. Who is the first to have one sets it in
// once, and the second in twice. So who has both of them in twice may be in another table,
// and has to be looked for there; who has not is in one alone.
//
// It errs for one user of a hundred or less, and takes four to eight bytes a user. Those who
// have left count still; when there is no more room, all are counted anew.
type crowd struct {
	once, twice []uint64
	room        int // for so many more
}

// bitsOfUser keeps the bits of others apart from one's own.
const bitsOfUser = 16

// crowdOf counts the users of some partitions, and has room for as many more.
func crowdOf(parts map[TopicPartition]*state) crowd {
	users := 1024
	for _, p := range parts {
		users += len(p.table.entries)
	}
	words := 2 * users * bitsOfUser / 64
	c := crowd{once: make([]uint64, words), twice: make([]uint64, words), room: 2 * users}
	for _, p := range parts {
		for user := range p.table.entries {
			c.add(user)
		}
	}
	return c
}

// add notes that one more table has a user.
func (c *crowd) add(user userKey) {
	c.room--
	for _, bit := range c.bits(user) {
		word, mask := bit/64, uint64(1)<<(bit%64)
		if c.once[word]&mask != 0 {
			c.twice[word] |= mask
		}
		c.once[word] |= mask
	}
}

// several reports whether more than one table may have a user, who was added.
func (c *crowd) several(user userKey) bool {
	for _, bit := range c.bits(user) {
		if c.twice[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

// bits are the places of a user's bits; its key is a hash already.
func (c *crowd) bits(user userKey) [2]uint64 {
	n := uint64(len(c.once)) * 64
	return [2]uint64{binary.LittleEndian.Uint64(user[:8]) % n, binary.LittleEndian.Uint64(user[8:]) % n}
}

// joins notes that one more table has a user, if they are counted.
func (s *states) joins(user userKey) {
	if s.crowd.room > 0 {
		s.crowd.add(user)
	}
}

// severalHave reports whether the tables of more than one partition may have a user.
func (s *states) severalHave(user userKey) bool {
	if len(s.parts) == 1 {
		return false
	}
	if s.crowd.room == 0 {
		s.crowd = crowdOf(s.parts)
	}
	return s.crowd.several(user)
}
