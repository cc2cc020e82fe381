package consumer

import (
	"cmp"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// ranges gives a member the same partitions of every topic. kafka-go's balancer means
// to do so, but goes by the order in which a broker lists partitions, and brokers do
// not promise any: a member would own users and not what is retried of them.
type ranges struct{ kafka.RangeGroupBalancer }

// AssignGroups is kafka-go's, with the partitions in order.
func (r ranges) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	sorted := slices.SortedFunc(slices.Values(partitions), func(a, b kafka.Partition) int { return cmp.Compare(a.ID, b.ID) })
	return r.RangeGroupBalancer.AssignGroups(members, sorted)
}

// fitRetries takes the retry topic out of counts, the partitions of each topic that
// exists, unless all source topics have as many: only then does whoever reads a
// record of it own the user. It has no lock; looks follow each other.
func (p *Pipeline) fitRetries(counts map[string]int) {
	retry := p.cfg.RetryTopic
	if retry == "" {
		return
	}
	n, known, fits := counts[retry], false, true
	for _, topic := range p.cfg.Topics {
		if counts[topic] > 0 {
			known, fits = true, fits && counts[topic] == n
		}
	}
	if known && fits {
		if lasted, said := p.apart.over(time.Now()); said {
			p.cfg.Log.Info("the retry topic is read again", "topic", retry, "after", lasted)
		}
		return
	}
	delete(counts, retry)
	if known && p.apart.again(time.Now(), sayAfter) {
		p.cfg.Log.Error("the retry topic is not read: it must have as many partitions as each source topic; usersync check --connect says how to mend it",
			"topic", retry, "partitions", n)
	}
}

// separate puts those partitions of the retry topic aside of which this process does
// not own all source partitions: another member has not seen yet that a topic has
// changed. It will, and that begins another generation.
func (g *generation) separate() {
	for _, p := range g.parts {
		if !p.retry {
			continue
		}
		for _, topic := range g.Topics {
			p.apart = p.apart || g.counts[topic] > 0 && g.byName[TopicPartition{topic, p.Partition}] == nil
		}
		if p.apart {
			g.Log.Warn("a partition of the retry topic is not read: another process has the source partition of its number", "topic", p.Topic, "partition", p.Partition)
		}
	}
}
