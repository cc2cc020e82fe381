package consumer

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// buckets is a set of users, each known by one byte only: enough to be suspicious
// of few others, and it names nobody, so it may stand in a commit for all to read.
type buckets [4]uint64

func bucketOf(user string) byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user)) // it never fails
	sum := h.Sum32()
	return byte(sum ^ sum>>8 ^ sum>>16 ^ sum>>24)
}

func (b *buckets) add(bucket byte) { b[bucket/64] |= 1 << (bucket % 64) }

func (b *buckets) has(bucket byte) bool { return b[bucket/64]&(1<<(bucket%64)) != 0 }

// String is a form without spaces, such as "3f,a0"; that of none is empty.
func (b buckets) String() string {
	var all []string
	for n := range 256 {
		if b.has(byte(n)) {
			all = append(all, fmt.Sprintf("%02x", n))
		}
	}
	return strings.Join(all, ",")
}

// parseBuckets reads what String makes of at least one.
func parseBuckets(s string) (b buckets, err error) {
	for hex := range strings.SplitSeq(s, ",") {
		n, err := strconv.ParseUint(hex, 16, 8)
		if err != nil {
			return buckets{}, fmt.Errorf("bucket: %w", err)
		}
		b.add(byte(n))
	}
	return b, nil
}
