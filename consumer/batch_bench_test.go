package consumer

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkFetch is what a record takes on its way out of a fetch response: kafka-go's
// part, with its checksums, and ours, which copies it.
func BenchmarkFetch(b *testing.B) {
	const records = 1000
	for _, size := range []int{200, 770, 4070} { // a row alone, in its envelope, and with a schema
		var all []batchRecord
		for i := range records {
			all = append(all, batchRecord{delta: int32(i), key: fmt.Appendf(nil, `{"id":%d}`, i), value: bytes.Repeat([]byte("x"), size)})
		}
		raw := logBatch{last: records - 1, records: all}.encode()
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(records * int64(size))
			for b.Loop() {
				p, err := parse(raw)
				if err != nil {
					b.Fatal(err)
				}
				read, next, err := decodePartition("users", 0, p)
				if err != nil || len(read) != records || next != records {
					b.Fatalf("%d records up to %d: %v", len(read), next, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
		})
	}
}
