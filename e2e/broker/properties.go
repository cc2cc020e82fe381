package broker

import (
	"maps"
	"path/filepath"
	"strings"
)

// defaults make one small node that is quick to start, to fail over and to
// compact. What a test relies on itself, it sets in Config.Properties.
var defaults = map[string]string{
	"process.roles":             "broker,controller",
	"node.id":                   "1",
	"controller.listener.names": "CONTROLLER",
	// A topic exists because a test made it, not because of a typo.
	"auto.create.topics.enable": "false",

	"offsets.topic.replication.factor":                 "1",
	"offsets.topic.num.partitions":                     "4",
	"transaction.state.log.replication.factor":         "1",
	"transaction.state.log.min.isr":                    "1",
	"transaction.state.log.num.partitions":             "4",
	"share.coordinator.state.topic.replication.factor": "1",
	"share.coordinator.state.topic.min.isr":            "1",
	"share.coordinator.state.topic.num.partitions":     "1",

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

// configure writes the broker's configuration into its directory.
func (b *Broker) configure() error {
	props := maps.Clone(defaults)
	props["log.dirs"] = filepath.Join(b.dir, "data")
	props["controller.quorum.voters"] = "1@" + b.listeners[0].addr
	var listen, advertise, protocols []string
	for i, l := range b.listeners {
		listen = append(listen, l.name+"://"+l.addr)
		protocols = append(protocols, l.name+":"+l.protocol)
		if i > 0 { // the controller is not for clients
			advertise = append(advertise, l.name+"://"+l.addr)
		}
	}
	props["listeners"] = strings.Join(listen, ",")
	props["advertised.listeners"] = strings.Join(advertise, ",")
	props["listener.security.protocol.map"] = strings.Join(protocols, ",")
	props["inter.broker.listener.name"] = b.listeners[1].name
	if b.security != nil {
		maps.Copy(props, b.security.properties())
	}
	maps.Copy(props, b.config.Properties)

	path, err := b.java.Configure("server.properties", props)
	b.properties = path
	return err
}
