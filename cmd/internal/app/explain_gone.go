package app

import (
	"context"
	"fmt"

	usync "usersync/sync"
)

// withoutRow explains a user of whom the source has no record. Where it is kept what was
// delivered, that may still say that a destination holds the user. If it does not, or
// nothing is kept, there is nobody to explain.
func (x *explanation) withoutRow(ctx context.Context) (*explainReport, error) {
	r := &explainReport{User: x.user(x.options.User).String()}
	for i := range x.targets {
		y, err := x.left(ctx, i)
		if err != nil {
			return nil, err
		}
		if y != nil {
			r.Destinations = append(r.Destinations, *y)
		}
	}
	if len(r.Destinations) == 0 {
		return nil, x.found.nobody()
	}
	return r, nil
}

// left looks for what the destination i was left with; nil if nothing is known of that.
// Which partition the user was in nobody knows any more.
func (x *explanation) left(ctx context.Context, i int) (*explainDestination, error) {
	state, name := x.state(i), x.targets[i].name
	if state == nil {
		return nil, nil
	}
	commits, err := x.committed(ctx, name, x.config.Kafka.Topics...)
	if err != nil {
		return nil, err
	}
	for _, e := range x.found.extents {
		commit := commits[e.TopicPartition]
		k, proven, err := state.Find(ctx, e.TopicPartition, commit.Metadata, x.options.User)
		if err != nil {
			return nil, err
		}
		if v := k.Version; proven && v.Status == usync.Held && v.Offset < e.end {
			y := &explainDestination{Name: name, Committed: commit.Offset, Members: -1, Letters: []explainLetter{}}
			y.Held = fmt.Sprintf("something, as of offset %d of %s/%d, noted %s", v.Offset, e.Topic, e.Partition, when(k.Written))
			if y.Verdict, err = x.loses(ctx, e); err != nil {
				return nil, err
			}
			y.Because = x.because(y)
			return y, nil
		}
	}
	return nil, nil
}
