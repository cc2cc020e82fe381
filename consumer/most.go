package consumer

import (
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

const (
	// mostBatches is how many batches a request is to bring. kafka-go takes a page of 64
	// KiB for each, be it ever so small, and has those of a whole answer at once: of
	// changes that were written one by one, as on a quiet day, 1 MiB would take 80 MiB and
	// more, at each broker. For 64 of them it is 4 MiB, and the hundreds of answers that a
	// second has room for still bring more than a destination takes.
	mostBatches = 64
	// leastBytes are asked for until something is known, and at least.
	leastBytes = 16 << 10
)

// most is how many bytes the next request to l may bring: those of mostBatches, and no
// more than would leave each other broker as much of the budget. A long poll holds its
// part for as long as nothing comes, and were it larger, some brokers would not be asked
// until others have answered.
func (f *fetcher) most(l *leader) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	part := int(f.cfg.Budget.size) / max(len(f.leaders), 1)
	return min(f.cfg.MaxBytes, max(leastBytes, min(mostBatches*l.batch, part)))
}

// look notes how large the batches of an answer are. Compressed they were smaller than
// that, and more of them come than asked for; but what compresses well has many records.
func (l *leader) look(res *fetch.Response, results []fetched) {
	batches, bytes := 0, 0
	for _, t := range res.Topics {
		for i := range t.Partitions {
			if stream, ok := t.Partitions[i].RecordSet.Records.(*protocol.RecordStream); ok {
				batches += len(stream.Records)
			}
		}
	}
	for _, r := range results {
		bytes += int(size(r.Records))
	}
	if batches > 0 {
		l.batch = bytes / batches
	}
}
