package chart

import (
	"path/filepath"
	"strings"
	"testing"

	"usersync/e2e"
)

// bad are values that are wrong beside minimal-values.yaml, and what is said of each:
// its path first, as the schema has it or as one writes it, then what is wrong.
var bad = []struct {
	name, values string
	want         []string
}{
	{"unknown value", "replica: 2", []string{"additional properties 'replica' not allowed"}},
	{"unknown value below", "image: {tags: v1}", []string{"/image", "'tags' not allowed"}},
	{"wrong type", "replicas: two", []string{"/replicas", "got string, want integer"}},
	{"one that is taken away", "image: null", []string{"missing property 'image'"}},
	{"unknown choice", "deployments: one", []string{"/deployments", "'together', 'separate'"}},
	{"both scalers", "autoscaling: {mode: [keda, hpa]}", []string{"/autoscaling/mode", "'keda', 'hpa'"}},
	{"zero workers to scale from", "autoscaling: {minReplicas: 0}", []string{"/autoscaling/minReplicas", "minimum"}},
	{"digest that is none", "image: {digest: latest}", []string{"/image/digest"}},
	{"bad quantity", "resources: {requests: {memory: 1 GB}}", []string{"/resources/requests/memory"}},
	{"a tag in the repository", "image: {repository: 'registry.example.com:5000/usersync:v1'}", []string{"/image/repository"}},
	{"tag that is none", "image: {tag: -v1}", []string{"/image/tag"}},
	{"unknown key of a constraint", "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, minDomain: 2}]", []string{
		"/topologySpreadConstraints/0", "'minDomain' not allowed",
	}},
	{"a liveness that Kubernetes does not know", "livenessProbe: {successThreshold: 2}", []string{"/livenessProbe/successThreshold"}},
	{"a readiness that Kubernetes does not know", "readinessProbe: {terminationGracePeriodSeconds: 2}", []string{"/readinessProbe", "'terminationGracePeriodSeconds' not allowed"}},
	{"topics that no broker keeps", "topicsJob: {replicationFactor: 0}", []string{"/topicsJob/replicationFactor", "minimum"}},
	{"unknown key of the worker", "config: {kafka: {broker: [a:1]}}", []string{"/config/kafka", "'broker' not allowed"}},
	{"wrong type of the worker's", "config: {kafka: {topics: app}}", []string{"/config/kafka/topics", "want array"}},
	{"duration that is none", "config: {shutdown: {drain_timeout: 20}}", []string{"/config/shutdown/drain_timeout"}},
	{"the chart's own key", "config: {http: {listen: ':9090'}}", []string{"/config", "'http' not allowed"}},
	{"unknown destination", "config: {destinations: {crm: {}}}", []string{"/config/destinations", "'crm' not allowed"}},

	{"no image", "image: {repository: ''}", []string{"image.repository: is required"}},
	{"no destination", "config: {destinations: {taptalk: null}}", []string{"config.destinations: is empty"}},
	{"no URL", "config: {destinations: {taptalk: {base_url: ''}}}", []string{"config.destinations.taptalk.base_url: is required"}},
	{"a URL in the clear", "config: {destinations: {taptalk: {base_url: 'http://taptalk.example.com'}}}", []string{
		"config.destinations.taptalk.base_url: sends personal data and credentials in the clear",
	}},
	{"missing secret", "credentials: {taptalk: {server_key_id: {existingSecret: ''}}}", []string{
		"credentials.taptalk.server_key_id.existingSecret: is required; name the secret, or give config.destinations.taptalk.server_key_id",
	}},
	{"missing secrets of a second destination", "config: {destinations: {haptik: {base_url: https://h.example}}}", []string{
		"credentials.haptik.client_id.existingSecret: is required", "credentials.haptik.token.existingSecret: is required",
	}},
	{"a credential twice", "config: {destinations: {taptalk: {server_key_secret: '${SECRET}'}}}", []string{
		"credentials.taptalk.server_key_secret.existingSecret: is given, and config.destinations.taptalk.server_key_secret as well",
	}},
	{"a credential and a file of it", "config: {destinations: {taptalk: {server_key_id_file: /id}}}", []string{
		"credentials.taptalk.server_key_id.existingSecret: is given, and config.destinations.taptalk.server_key_id_file as well",
	}},
	{"a secret in the ConfigMap", "{credentials: {taptalk: {server_key_secret: {existingSecret: ''}}}, config: {destinations: {taptalk: {server_key_secret: hunter2}}}}", []string{
		"config.destinations.taptalk.server_key_secret: would be readable in the ConfigMap",
	}},
	{"no password", "config: {kafka: {sasl: {mechanism: plain, username: me}}}", []string{"credentials.kafka.password.existingSecret: is required"}},
	{"a password for nothing", "credentials: {kafka: {password: {existingSecret: kafka}}}", []string{
		"credentials.kafka.password.existingSecret: is given without config.kafka.sasl.mechanism",
	}},
	{"an authority for nothing", "credentials: {kafka: {ca: {existingSecret: kafka}}}", []string{
		"credentials.kafka.ca.existingSecret: is given without config.kafka.tls.enabled",
	}},
	{"a certificate without its key", "{credentials: {kafka: {cert: {existingSecret: kafka}}}, config: {kafka: {tls: {enabled: true}}}}", []string{
		"credentials.kafka.key.existingSecret: is required with a certificate",
	}},
	{"a key without its certificate", "{credentials: {kafka: {key: {existingSecret: kafka}}}, config: {kafka: {tls: {enabled: true}}}}", []string{
		"credentials.kafka.cert.existingSecret: is required with a private key",
	}},
	{"state without a hash key", "config: {kafka: {state_topic: app.state}}", []string{"credentials.privacy.hash_key.existingSecret: is required"}},

	{"drain above the grace period", "{terminationGracePeriodSeconds: 30, config: {shutdown: {drain_timeout: 45s}}}", []string{
		"terminationGracePeriodSeconds: 30 is not above config.shutdown.drain_timeout, 45s",
	}},
	{"drain as long as a rebalance", "config: {shutdown: {drain_timeout: 60s}}", []string{
		"config.shutdown.drain_timeout: 60s must be below config.kafka.rebalance_timeout, 1m",
	}},
	{"a call as long as the drain", "config: {destinations: {taptalk: {timeout: 20s}}}", []string{
		"config.destinations.taptalk.timeout: 20s must be below config.shutdown.drain_timeout, 20s",
	}},
	{"a call longer than half a session", "config: {destinations: {taptalk: {timeout: 15.1s}}, kafka: {session_timeout: 30s}}", []string{
		"config.destinations.taptalk.timeout: 15.1s must be at most half of config.kafka.session_timeout, 30s",
	}},
	{"drain as long as the grace period", "terminationGracePeriodSeconds: 20", []string{"terminationGracePeriodSeconds: 20 is not above"}},
	{"grace period of a variable", "config: {shutdown: {drain_timeout: '${DRAIN}'}}", []string{"terminationGracePeriodSeconds: is required"}},
	{"both bounds of a disruption", "podDisruptionBudget: {minAvailable: 1}", []string{"podDisruptionBudget.minAvailable: and maxUnavailable exclude each other"}},
	{"neither bound of a disruption", "podDisruptionBudget: {maxUnavailable: null}", []string{"podDisruptionBudget.maxUnavailable: and minAvailable are both null"}},
	{"a rollout that never moves", "strategy: {rollingUpdate: {maxSurge: 0}}", []string{"strategy.rollingUpdate.maxUnavailable: is 0 like maxSurge"}},
	{"a label of a selector", "podLabels: {app.kubernetes.io/component: api}", []string{"podLabels.app.kubernetes.io/component: is the chart's own"}},
	{"labels of the chart's", "commonLabels: {app.kubernetes.io/instance: a, helm.sh/chart: b}", []string{
		"commonLabels.app.kubernetes.io/instance: is the chart's own", "commonLabels.helm.sh/chart: is the chart's own",
	}},
	{"the checksum", "podAnnotations: {checksum/config: a}", []string{"podAnnotations.checksum/config: is the chart's own"}},
	{"a Deployment that is not there", "separate: {taptalk: {replicas: 3}}", []string{"separate.taptalk: has no effect with deployments: together"}},
	{"a Deployment for nobody", "{deployments: separate, separate: {haptik: {replicas: 3}}}", []string{
		"separate.haptik: is for a destination that config.destinations does not have",
	}},

	{"KEDA without a cap", "autoscaling: {mode: keda}", []string{"partitions: is required with autoscaling.mode keda"}},
	{"KEDA and a variable", "{partitions: 6, autoscaling: {mode: keda}, config: {kafka: {brokers: ['${KAFKA}']}}}", []string{
		"config.kafka.brokers: has a variable, which KEDA cannot know",
	}},
	{"KEDA and a password that it cannot read", "{partitions: 6, autoscaling: {mode: keda}, config: {kafka: {sasl: {mechanism: plain, username: '${U}', password: '${P}'}}}}", []string{
		"credentials.kafka.username.existingSecret: is required with autoscaling.mode keda", "credentials.kafka.password.existingSecret: is required with autoscaling.mode keda",
	}},
	{"a CPU target without a request", "autoscaling: {mode: hpa}", []string{"resources.requests.cpu: is required with autoscaling.mode hpa"}},
	{"more at least than at most", "{partitions: 3, autoscaling: {mode: keda, minReplicas: 4}}", []string{"autoscaling.minReplicas: 4 is above 3"}},
	{"a policy for ports that nobody knows", "{networkPolicy: {enabled: true}, config: {kafka: {brokers: ['${KAFKA}']}, destinations: {taptalk: {base_url: '${URL}'}}}}", []string{
		"networkPolicy.brokerPorts: is required", "networkPolicy.vendorPorts: is required",
	}},
}

// Bad values fail before anything is installed, and all that is wrong is said at once.
func TestBadValues(t *testing.T) {
	e2e.Require(t, "helm")
	minimal := filepath.Join(chartDir, "ci", "minimal-values.yaml")
	for _, test := range bad {
		t.Run(test.name, func(t *testing.T) {
			_, err := template(t.Context(), chartDir, minimal, write(t, "values.yaml", test.values))
			if err == nil {
				t.Fatal("helm template has nothing against it")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it does not say %q, but: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("it says the secret: %v", err)
			}
		})
	}
}

// Nothing but the defaults: every value that is required is named, and nothing else fails.
func TestNoValues(t *testing.T) {
	e2e.Require(t, "helm")
	_, err := template(t.Context(), chartDir)
	if err == nil {
		t.Fatal("helm template needs no values")
	}
	for _, want := range []string{
		"image.repository: is required", "config.kafka.brokers: is required", "config.kafka.topics: is required",
		"config.kafka.dead_letter_topic: is required", "config.destinations: is empty",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q, but: %v", want, err)
		}
	}
}
