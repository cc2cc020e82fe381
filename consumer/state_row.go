package consumer

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// rowHash makes the hashes of rows. They tell whether a row is the one that was mapped
// before, so they are kept, with the fingerprint of the payload that came of it. It is not
// safe for concurrent use.
type rowHash struct {
	mac      hash.Hash
	row, out []byte // used again and again
}

// newRowHash returns the hashes of rows for all that makes another payload of the same row,
// or the same one count for another. Each such thing is a part of the key: so no two hashes
// are ever equal between two mappings, programs, targets or epochs, and a row that has not
// changed is mapped once after any of them did. sends is as in [Config]. Whoever does not say
// which mapping or program it is has no hashes.
func newRowHash(cfg StateConfig, sends string) *rowHash {
	if sends == "" || cfg.Program == "" {
		return nil
	}
	key := hmac.New(sha256.New, cfg.Key)
	for _, part := range []string{"row", cfg.BaseURL, cfg.Epoch, sends, cfg.Program} {
		sum := sha256.Sum256([]byte(part)) // where one part ends is not to be guessed
		_, _ = key.Write(sum[:])           // it never fails
	}
	return &rowHash{mac: hmac.New(sha256.New, key.Sum(nil))}
}

// of returns the hash of a row; zero if it has none.
func (h *rowHash) of(user string, columns usync.Columns) (sum usync.RowHash) {
	if h == nil {
		return sum
	}
	row, ok := usync.AppendRow(h.row[:0], user, columns)
	if !ok {
		return sum
	}
	h.row = row
	h.mac.Reset()
	_, _ = h.mac.Write(row)
	h.out = h.mac.Sum(h.out[:0])
	copy(sum[:], h.out)
	return sum
}

// rowHeader is the header with the hash of a user's row. It is not in the value, for an
// earlier version of this program takes a longer value for damage and would wait for
// somebody to repair it. What it does not know in a header it passes over; and what it
// writes has none, so that nothing is known of a row that it has replaced.
const rowHeader = "row"

// headers returns the record's headers.
func (r *stateRecord) headers() []event.Header {
	if r.gone || r.version.Row == (usync.RowHash{}) {
		return nil
	}
	return []event.Header{{Key: rowHeader, Value: r.version.Row[:]}}
}

// parseHeaders reads what headers makes. One that is damaged is as good as none: its user
// is mapped.
func (r *stateRecord) parseHeaders(headers []event.Header) {
	for _, h := range headers {
		if h.Key == rowHeader && len(h.Value) == len(r.version.Row) && r.version.Status == usync.Held {
			copy(r.version.Row[:], h.Value)
		}
	}
}
