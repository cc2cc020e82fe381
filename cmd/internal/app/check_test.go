package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type connectorFunc func(context.Context) ([]Finding, error)

func (f connectorFunc) Check(ctx context.Context) ([]Finding, error) { return f(ctx) }

func TestConnect(t *testing.T) {
	broken := errors.New("no broker answers")
	fine := Finding{Fine, "topic app.public.users: 3 partitions"}
	warn := Finding{Warn, "topic app.public.users: min.compaction.lag.ms is 0; raise it"}
	fail := Finding{Fail, "topic app.dead: is compacted; name another"}
	tests := []struct {
		name     string
		findings []Finding
		err      error
		out      string
		want     error
	}{
		{"fine", []Finding{fine}, nil, "ok: topic app.public.users: 3 partitions\n", nil},
		{"warning", []Finding{warn}, nil, "warning: topic app.public.users: min.compaction.lag.ms is 0; raise it\n", nil},
		{"failure", []Finding{fail, fine}, nil,
			"failed: topic app.dead: is compacted; name another\nok: topic app.public.users: 3 partitions\n", ErrFindings},
		{"broken", []Finding{fine}, broken, "ok: topic app.public.users: 3 partitions\n", broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			err := Connect(t.Context(), &out, connectorFunc(func(context.Context) ([]Finding, error) { return tt.findings, tt.err }))
			if out.String() != tt.out || !errors.Is(err, tt.want) {
				t.Errorf("got %q, %v\nwant %q, %v", out.String(), err, tt.out, tt.want)
			}
		})
	}
}

// A client that never gives up is given up.
func TestConnectEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := Connect(t.Context(), &strings.Builder{}, connectorFunc(func(ctx context.Context) ([]Finding, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != connectTimeout {
			t.Errorf("ended after %s with %v", time.Since(start), err)
		}
	})
}
