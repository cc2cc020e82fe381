package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"usersync/e2e/internal/rest"
	"usersync/e2e/process"
	"usersync/e2e/vendors"
	"usersync/sync/vendortest"
)

// vendor is a process with the simulated vendors for one contender's run, so that none
// finds what another has left there.
type vendor struct {
	*process.Process
	admin string            // base URL
	urls  map[string]string // by destination
}

// startVendor starts vendors that answer after latency.
func (b *bench) startVendor(ctx context.Context, name string, latency time.Duration) (*vendor, error) {
	p, err := process.Start(process.Command{Name: name + "-vendor", Path: b.binaries[vendorsPackage], Logs: b.dir})
	if err != nil {
		return nil, err
	}
	v := &vendor{Process: p}
	if err := v.prepare(ctx, latency); err != nil {
		p.Kill()
		return nil, fmt.Errorf("start the vendors: %w", err)
	}
	return v, nil
}

func (v *vendor) prepare(ctx context.Context, latency time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not ready within a minute"))
	defer cancel()
	err := v.Ready(ctx, func(context.Context) error {
		out, err := os.ReadFile(v.Stdout())
		line, whole := strings.CutSuffix(string(out), "\n")
		if err == nil && !whole {
			err = errors.New("it has not said where it is")
		}
		v.admin = line
		return err
	})
	if err != nil {
		return err
	}
	if err := v.do(ctx, http.MethodPut, "/callers/contender", nil, &v.urls); err != nil {
		return err
	}
	return v.do(ctx, http.MethodPut, "/"+vendors.TapTalk+"/rules", []vendortest.Rule{{Latency: latency}}, nil)
}

func (v *vendor) do(ctx context.Context, method, path string, in, out any) error {
	return rest.Call(ctx, method, v.admin+path, in, out)
}

// stats returns the counts so far.
func (v *vendor) stats(ctx context.Context) (s vendortest.Stats, err error) {
	err = v.do(ctx, http.MethodGet, "/"+vendors.TapTalk+"/stats", nil, &s)
	return s, err
}

// calls returns each call so far, as it is now.
func (v *vendor) calls(ctx context.Context) ([]vendortest.Version, error) {
	const most = 10_000
	newest := map[int]vendortest.Version{} // by Seq
	for since := 0; ; {
		var page struct {
			Calls []vendortest.Version
			Next  int
		}
		if err := v.do(ctx, http.MethodGet, fmt.Sprintf("/%s/calls?since=%d&limit=%d", vendors.TapTalk, since, most), nil, &page); err != nil {
			return nil, err
		}
		for _, c := range page.Calls {
			newest[c.Seq] = c
		}
		since = page.Next
		if len(page.Calls) < most {
			break
		}
	}
	all := make([]vendortest.Version, 0, len(newest))
	for _, c := range newest {
		all = append(all, c)
	}
	return all, nil
}
