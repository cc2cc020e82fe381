package event

import "time"

// Record is one record as Kafka holds it. A nil Key or Value is Kafka's null,
// which is not the same as an empty one: a null value is a tombstone.
type Record struct {
	Topic     string
	Partition int
	Offset    int64
	Time      time.Time
	// BrokerTime says that the topic's time is when the broker took the record. Time
	// may then change when compaction rewrites what is around the record.
	BrokerTime bool
	Key        []byte
	Value      []byte
	Headers    []Header
}

// Header is one header of a record. A record may repeat a key.
type Header struct {
	Key   string
	Value []byte
}
