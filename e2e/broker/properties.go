package broker

import (
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
)

// defaults make small nodes that are quick to start, to fail over and to compact.
// What a test relies on itself, it sets in Config.Properties.
var defaults = map[string]string{
	"process.roles":             "broker,controller",
	"controller.listener.names": "CONTROLLER",
	// A topic exists because a test made it, not because of a typo.
	"auto.create.topics.enable": "false",

	"offsets.topic.num.partitions":                 "4",
	"transaction.state.log.num.partitions":         "4",
	"share.coordinator.state.topic.num.partitions": "1",

	"group.initial.rebalance.delay.ms": "0",
	"group.min.session.timeout.ms":     "1000",
	// After kill -9 the broker may register again only when its old session has
	// run out, 9 s by default.
	"broker.heartbeat.interval.ms": "500",
	"broker.session.timeout.ms":    "2000",

	// Compaction looks for work ten times a second, not every 15 s.
	"log.cleaner.backoff.ms":         "100",
	"log.cleaner.threads":            "1",
	"log.cleaner.dedupe.buffer.size": "16777216",

	"num.network.threads": "2",
	"num.io.threads":      "4",
}

// alone are the settings of a broker that has no others.
var alone = map[string]string{
	"offsets.topic.replication.factor":                 "1",
	"transaction.state.log.replication.factor":         "1",
	"transaction.state.log.min.isr":                    "1",
	"share.coordinator.state.topic.replication.factor": "1",
	"share.coordinator.state.topic.min.isr":            "1",
}

// together are those of a cluster of three. The topics of Kafka's own have three
// replicas by default, and need two.
var together = map[string]string{
	"default.replication.factor": "3",
	"min.insync.replicas":        "2",
	// A machine that is busy with three brokers may keep one from its heartbeat for
	// a while; what is not heard of for so long, 9 s by default, is failed over.
	"broker.session.timeout.ms": "3000",
	"replica.lag.time.max.ms":   "5000", // 30 s by default
}

// configure writes the node's configuration into its directory; all are the nodes of the
// cluster, in order, this one among them.
func (n *node) configure(all []*node, more map[string]string) error {
	props := maps.Clone(defaults)
	if len(all) == 1 {
		maps.Copy(props, alone)
	} else {
		maps.Copy(props, together)
	}
	props["node.id"] = strconv.Itoa(int(n.id))
	props["log.dirs"] = filepath.Join(n.java.Dir, "data")
	var voters, listen, advertise, protocols []string
	for _, v := range all {
		voters = append(voters, fmt.Sprintf("%d@%s", v.id, v.listeners[0].addr))
	}
	for i, l := range n.listeners {
		listen = append(listen, l.name+"://"+l.addr)
		protocols = append(protocols, l.name+":"+l.protocol)
		if i > 0 { // the controller is not for clients
			advertise = append(advertise, l.name+"://"+l.advertised)
		}
	}
	props["controller.quorum.voters"] = strings.Join(voters, ",")
	props["listeners"] = strings.Join(listen, ",")
	props["advertised.listeners"] = strings.Join(advertise, ",")
	props["listener.security.protocol.map"] = strings.Join(protocols, ",")
	props["inter.broker.listener.name"] = n.listeners[1].name
	if n.security != nil {
		maps.Copy(props, n.security.properties())
	}
	maps.Copy(props, more)

	path, err := n.java.Configure("server.properties", props)
	n.properties = path
	return err
}
