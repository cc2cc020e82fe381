package consumer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// certificate returns a key pair for localhost and a pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestProbe(t *testing.T) {
	pair, pool := certificate(t)
	server := &tls.Config{Certificates: []tls.Certificate{pair}}
	guarded := &tls.Config{Certificates: server.Certificates, ClientAuth: tls.RequireAnyClientCert}
	login := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "right"), kfake.Superuser("SCRAM-SHA-256", "u", "right"), kfake.Superuser("SCRAM-SHA-512", "u", "right")}
	for name, tc := range map[string]struct {
		opts []kfake.Opt
		tls  *tls.Config
		sasl SASL
		want string // of the error; empty: none
	}{
		"plaintext":             {},
		"plain":                 {opts: login, sasl: SASL{"plain", "u", "right"}},
		"scram-sha-256":         {opts: login, sasl: SASL{"scram-sha-256", "u", "right"}},
		"scram-sha-512":         {opts: login, sasl: SASL{"scram-sha-512", "u", "right"}},
		"plain, wrong password": {opts: login, sasl: SASL{"plain", "u", "wrong-secret"}, want: "authentication failed"},
		"scram, wrong password": {opts: login, sasl: SASL{"scram-sha-512", "u", "wrong-secret"}, want: "authentication failed"},
		"no login":              {opts: login, want: "closed the connection"},
		"tls and login":         {opts: append([]kfake.Opt{kfake.TLS(server)}, login...), tls: &tls.Config{RootCAs: pool}, sasl: SASL{"plain", "u", "right"}},
		"unknown authority":     {opts: []kfake.Opt{kfake.TLS(server)}, tls: &tls.Config{RootCAs: x509.NewCertPool()}, want: "certificate cannot be verified"},
		"wrong host name":       {opts: []kfake.Opt{kfake.TLS(server)}, tls: &tls.Config{RootCAs: pool, ServerName: "elsewhere"}, want: "certificate cannot be verified"},
		"no client certificate": {opts: []kfake.Opt{kfake.TLS(guarded)}, tls: &tls.Config{RootCAs: pool}, want: "check kafka.tls.cert_file and kafka.tls.key_file"},
		"plaintext to tls":      {opts: []kfake.Opt{kfake.TLS(server)}, want: "kafka.tls"},
	} {
		t.Run(name, func(t *testing.T) {
			// On real sockets: a refused handshake would block on an unbuffered pipe.
			cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(2), kfake.SeedTopics(1, "users")}, tc.opts...)...)
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			c, err := NewClient(ClientConfig{Brokers: cluster.ListenAddrs(), TLS: tc.tls, SASL: tc.sasl, Topics: []string{"users"}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			wantProbe(t, c.Probe(ctx), tc.want)
			if ctx.Err() != nil {
				t.Error("it hung")
			}
			if _, err := c.Metadata(ctx, []string{"users"}); (err != nil) != (tc.want != "") {
				t.Errorf("the transport, set up alike, says %v", err)
			}
		})
	}
}

func wantProbe(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v", err)
	case want == "":
	case err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Kafka broker "):
		t.Errorf("error %v, want one about %q that names the broker", err, want)
	case strings.Contains(err.Error(), "secret"):
		t.Errorf("the error shows the password: %v", err)
	}
	if _, ok := errors.AsType[*ProbeError](err); want != "" && !ok {
		t.Errorf("%T holds no ProbeError", err)
	}
}

// A broker that takes the connection and then says nothing must not hold up the
// start, nor one that nobody listens on.
func TestProbeOfASilentBroker(t *testing.T) {
	for name, login := range map[string]SASL{"without login": {}, "with login": {"plain", "u", "p"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var network kfake.VirtualNetwork
				l, err := network.Listen("tcp", "localhost:9092")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				go func() {
					for {
						conn, err := l.Accept()
						if err != nil {
							return
						}
						go swallow(conn)
					}
				}()
				c, err := NewClient(ClientConfig{Brokers: []string{"localhost:9092", "localhost:9999"}, Dial: network.DialContext, SASL: login})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				err = c.Probe(ctx)
				wantProbe(t, err, "no answer in time")
				if !strings.Contains(err.Error(), "Kafka broker localhost:9999") {
					t.Errorf("the second broker is not named: %v", err)
				}
				if ctx.Err() == nil || time.Since(deadline(t, ctx)) > 0 {
					t.Errorf("ended at %v, deadline %v", time.Now(), deadline(t, ctx))
				}
			})
		})
	}
}

func swallow(conn net.Conn) {
	b := make([]byte, 1024)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

func deadline(t *testing.T, ctx context.Context) time.Time {
	t.Helper()
	d, ok := ctx.Deadline()
	if !ok {
		t.Fatal("no deadline")
	}
	return d
}

// One broker that is cut off is no reason not to start.
func TestProbeNeedsOneBroker(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		c, err := NewClient(ClientConfig{Brokers: []string{"localhost:9999", k.ListenAddrs()[0]}, Dial: k.dial})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Probe(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The bootstrap address works, and what the brokers call themselves does not:
// the usual trouble with port forwards and container networks.
func TestProbeOfAdvertisedAddresses(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		c, err := NewClient(ClientConfig{Brokers: []string{"localhost:1234"}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "localhost:1234" {
				return k.dial(ctx, network, k.ListenAddrs()[0])
			}
			return nil, errors.New("no route")
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.Probe(t.Context())
		if err == nil || !strings.Contains(err.Error(), "advertised.listeners") || !strings.Contains(err.Error(), ":9092") {
			t.Errorf("error %v", err)
		}
	})
}

// kafka-go takes its deadline off before it logs in. A broker that falls silent
// just then must not stop all metadata for good.
func TestTransportOutlivesASilentLogin(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		var silent atomic.Bool
		silent.Store(true)
		c := k.clientWith(ClientConfig{SASL: SASL{"plain", "u", "p"}, Topics: []string{"users"}})
		k.ControlKey(int16(kmsg.SASLHandshake), func(kmsg.Request) (kmsg.Response, error, bool) {
			k.KeepControl()
			if silent.Load() {
				k.sever() // the answer gets lost, and all that comes after it
			}
			return nil, nil, false
		})
		if _, err := c.Metadata(t.Context(), []string{"users"}); err == nil {
			t.Fatal("metadata over a dead connection")
		}
		synctest.Wait()
		silent.Store(false)
		time.Sleep(time.Minute)
		if _, err := c.Metadata(t.Context(), []string{"users"}); err != nil {
			t.Errorf("a minute after the broker came back: %v", err)
		}
	}, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"), kfake.SeedTopics(1, "users"))
}

func TestNewClientRefuses(t *testing.T) {
	for name, cfg := range map[string]ClientConfig{
		"no brokers":        {},
		"unknown mechanism": {Brokers: []string{"b:1"}, SASL: SASL{Mechanism: "gssapi"}},
	} {
		if _, err := NewClient(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMetadata(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		for p, node := range map[int32]int32{0: 1, 1: 0} {
			if err := k.MoveTopicPartition("users", p, node); err != nil {
				t.Fatal(err)
			}
		}
		got, err := k.client("users", "nowhere").Metadata(t.Context(), []string{"users", "nowhere"})
		want := map[string][]PartitionInfo{"users": {{ID: 0, Leader: 1, Replicas: 2}, {ID: 1, Leader: 0, Replicas: 2}}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v", got, err)
		}
		if k.TopicInfo("nowhere") != nil {
			t.Error("asking for a topic created it")
		}
	}, kfake.SeedTopics(2, "users"), kfake.AllowAutoTopicCreation())
}

func TestListOffsets(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		early := time.Now()
		for range 3 {
			k.produce(record(0, "v"))
		}
		time.Sleep(time.Hour)
		late := time.Now()
		k.produce(record(0, "v"))
		if err := k.DeleteRecords("users", 0, 1); err != nil {
			t.Fatal(err)
		}
		c := k.client("users")
		for name, tc := range map[string]struct{ at, want int64 }{
			"start":             {kafka.FirstOffset, 1},
			"end":               {kafka.LastOffset, 4},
			"by time":           {late.UnixMilli(), 3},
			"before all":        {early.Add(-time.Hour).UnixMilli(), 1},
			"later than all":    {late.Add(time.Hour).UnixMilli(), 4},
			"the start of time": {0, 1},
		} {
			if got, err := c.ListOffsets(t.Context(), "users", 0, tc.at); err != nil || got != tc.want {
				t.Errorf("%s: %d, %v; want %d", name, got, err, tc.want)
			}
		}
		if _, err := c.ListOffsets(t.Context(), "nowhere", 0, kafka.FirstOffset); !errors.Is(err, kafka.UnknownTopicOrPartition) {
			t.Errorf("unknown topic: %v", err)
		}
	}, kfake.SeedTopics(1, "users"))
}

// The codes of a commit and of what was committed are each partition's own.
func TestCommitAndCommittedOffsets(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		c := k.client("users")
		group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: "g", Brokers: c.brokers, Dialer: c.dialer, Topics: []string{"users"}})
		if err != nil {
			t.Fatal(err)
		}
		gen, err := group.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		zero, one, two := TopicPartition{"users", 0}, TopicPartition{"users", 1}, TopicPartition{"users", 2}
		request := CommitRequest{Group: "g", Generation: int(gen.ID), Member: gen.MemberID, Partitions: []PartitionCommit{
			{zero, 5, "note"}, {one, 6, ""},
		}}
		var epochs []int32
		k.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
			for _, p := range r.(*kmsg.OffsetCommitRequest).Topics[0].Partitions {
				epochs = append(epochs, p.LeaderEpoch)
			}
			return nil, nil, false
		})
		k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: "users", Partitions: []int32{1}, Err: kerr.TopicAuthorizationFailed})
		codes, err := c.Commit(t.Context(), request)
		if want := (map[TopicPartition]kafka.Error{zero: 0, one: kafka.TopicAuthorizationFailed}); err != nil || !reflect.DeepEqual(codes, want) {
			t.Errorf("codes %v, error %v", codes, err)
		}
		if !reflect.DeepEqual(epochs, []int32{-1, -1}) {
			t.Errorf("leader epochs %v", epochs)
		}

		k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Topic: "users", Partitions: []int32{2}, Err: kerr.UnstableOffsetCommit})
		got, err := c.CommittedOffsets(t.Context(), "g", map[string][]int{"users": {0, 1, 2}})
		if err != nil || got[zero] != (Committed{Offset: 5, Metadata: "note"}) || got[one] != (Committed{Offset: -1}) {
			t.Errorf("committed %v, error %v", got, err)
		}
		if got[two].Err == nil {
			t.Error("the third partition's error is lost")
		}

		request.Generation++
		codes, err = c.Commit(t.Context(), request)
		if err != nil || codes[zero] != kafka.IllegalGeneration || codes[one] != kafka.IllegalGeneration {
			t.Errorf("another generation: codes %v, error %v", codes, err)
		}
		if err := c.LeaveGroup(t.Context(), "g", gen.MemberID); err != nil {
			t.Error(err)
		}
		request.Generation--
		if codes, err = c.Commit(t.Context(), request); err != nil || codes[zero] == 0 {
			t.Errorf("after leaving: codes %v, error %v", codes, err)
		}
		if err := c.LeaveGroup(t.Context(), "g", gen.MemberID); err != nil {
			t.Errorf("leaving twice: %v", err)
		}
		if err := group.Close(); err != nil {
			t.Error(err)
		}
	}, kfake.SeedTopics(3, "users"))
}

// A request on a connection that died silently ends, deadline or not.
func TestRequestsEndOnHalfOpenConnections(t *testing.T) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		c := k.client("users")
		if _, err := c.ListOffsets(t.Context(), "users", 0, kafka.FirstOffset); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // until the connection is back in its pool
		k.sever()
		start := time.Now()
		if _, err := c.ListOffsets(t.Context(), "users", 0, kafka.FirstOffset); err == nil {
			t.Error("an answer over a dead connection")
		}
		if took := time.Since(start); took > requestTimeout {
			t.Errorf("took %v", took)
		}
		if _, err := c.ListOffsets(t.Context(), "users", 0, kafka.FirstOffset); err != nil {
			t.Errorf("over a new connection: %v", err)
		}
	}, kfake.SeedTopics(1, "users"))
}
