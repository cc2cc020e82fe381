package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"usersync/e2e/internal/java"
	"usersync/e2e/links"
)

// Cluster is three brokers, each of them a controller too. A topic has a replica
// on each, and a write with acks=all needs two of them, so that everything goes on
// without one. The methods that start, stop and signal a broker are for one
// goroutine; all others for several.
type Cluster struct {
	*Client
	nodes map[int32]*node
}

// StartCluster fetches, formats and starts three brokers, called 1, 2 and 3, and
// returns when they answer. The caller ends them with Close.
func StartCluster(ctx context.Context, c Config) (*Cluster, error) {
	if c.Secured {
		return nil, errors.New("start kafka: only a single broker can be secured")
	}
	jars, err := Fetch(ctx)
	if err != nil {
		return nil, err
	}
	k := &Cluster{nodes: map[int32]*node{}}
	if err := k.prepare(ctx, jars, c); err != nil {
		k.Close()
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	if err := k.start(ctx); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// prepare writes what the nodes start from.
func (k *Cluster) prepare(ctx context.Context, jars string, c Config) error {
	var addrs []string
	for id := range int32(3) {
		id++
		dir, err := filepath.Abs(filepath.Join(c.Dir, fmt.Sprint("n", id)))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		n, err := newNode(ctx, id, java.Program{Jars: jars, Dir: dir, Heap: "384m"}, c)
		if err != nil {
			return err
		}
		k.nodes[id] = n
		addrs = append(addrs, n.open())
	}
	var err error
	if k.Client, err = newClient(addrs); err != nil {
		return err
	}
	for _, n := range k.nodes {
		if err := n.configure(k.all(), c.Properties); err != nil {
			return err
		}
	}
	return k.each(func(n *node) error { return n.format(ctx) })
}

func (k *Cluster) start(ctx context.Context) error {
	if err := k.each(func(n *node) error { return n.start(ctx) }); err != nil {
		return err
	}
	if err := k.ready(ctx, k.Nodes()...); err != nil {
		return fmt.Errorf("start kafka: %w", err)
	}
	return nil
}

// all returns the nodes in order.
func (k *Cluster) all() []*node {
	var all []*node
	for _, id := range k.Nodes() {
		all = append(all, k.nodes[id])
	}
	return all
}

// each does something with all nodes at the same time.
func (k *Cluster) each(do func(*node) error) error {
	var group errgroup.Group
	for _, n := range k.nodes {
		group.Go(func() error { return do(n) })
	}
	return group.Wait()
}

// Nodes returns the IDs of the brokers.
func (k *Cluster) Nodes() []int32 { return []int32{1, 2, 3} }

// Link returns a slot's way to a broker.
func (k *Cluster) Link(slot int, id int32) *links.Link { return k.nodes[id].links[slot] }

// Via returns the addresses from which a slot starts, one of each broker.
func (k *Cluster) Via(slot int) []string {
	var addrs []string
	for _, n := range k.all() {
		addrs = append(addrs, n.links[slot].Addr())
	}
	return addrs
}

// Log returns the path of a broker's log since its last start.
func (k *Cluster) Log(id int32) string { return k.nodes[id].Log() }

// Kill ends a broker with SIGKILL and returns when it is gone.
func (k *Cluster) Kill(id int32) { k.nodes[id].Kill() }

// Stop ends a broker with SIGTERM, so that it hands over what it leads, and returns
// when it is gone.
func (k *Cluster) Stop(ctx context.Context, id int32) error { return k.nodes[id].Stop(ctx) }

// Restart starts a broker on its data after Stop or Kill, and returns when the
// cluster counts it in. Its replicas catch up later, see Synced.
func (k *Cluster) Restart(ctx context.Context, id int32) error {
	if err := k.nodes[id].start(ctx); err != nil {
		return err
	}
	if err := k.ready(ctx, id); err != nil {
		return fmt.Errorf("start kafka: %w", err)
	}
	return nil
}

// Freeze stops a broker in its tracks: its sockets stay open and silent. After three
// seconds the others take over what it leads.
func (k *Cluster) Freeze(id int32) error { return k.nodes[id].Freeze() }

// Thaw lets a frozen broker go on.
func (k *Cluster) Thaw(id int32) error { return k.nodes[id].Thaw() }

// Close kills all brokers and drops the connections to them. The directory stays.
func (k *Cluster) Close() {
	for _, n := range k.nodes {
		n.close()
	}
	if k.Client != nil {
		k.kafka.Close()
	}
}
