package e2e_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"usersync/e2e/worker"
)

const stateTopic = "state"

// inState is a record of the state topic: consumer/state_record.go says how it is.
type inState struct {
	key         string
	destination string
	user        string // as worker.Hash has it; "" of what is about an owner
	epoch       uint64 // of the owner that wrote it
	held        bool   // and as of which offset
	offset      int64
}

// readState returns the records of a partition of the state topic.
func readState(t *testing.T, d *worker.Deployment, partition int32) []inState {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), worker.Limit)
	defer cancel()
	records, err := d.Broker.Read(ctx, stateTopic, partition)
	if err != nil {
		t.Fatal(err)
	}
	var all []inState
	for _, r := range records {
		group, id, ours := strings.Cut(string(r.Key), "/users/")
		i := slices.IndexFunc(worker.Destinations, func(destination string) bool { return d.Group(destination) == group })
		if !ours || i < 0 || len(r.Value) == 0 {
			continue
		}
		destination := worker.Destinations[i]
		s := inState{key: string(r.Key), destination: destination}
		value := r.Value[1:] // behind the format
		epoch, n := binary.Uvarint(value)
		s.epoch, value = epoch, value[n:]
		if len(id) == 16 {
			const held = 2
			s.user, s.held = hex.EncodeToString([]byte(id))[:12], value[0] == held
			offset, _ := binary.Uvarint(value[2:]) // behind the cause
			s.offset = int64(offset)
		}
		all = append(all, s)
	}
	return all
}
