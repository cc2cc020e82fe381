package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// User and Password log in with SCRAM and PLAIN; the client certificate is the
// same user's. It may do nothing until Broker.Grant.
const (
	User     = "svc"
	Password = "svc-secret"
)

// Security says how to reach a secured broker. The listener of Broker.Addr
// stays open to all and is the administrator's, which is right for a test on
// the loopback interface only.
type Security struct {
	// The addresses: SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN over TLS; a client
	// certificate; the same mechanisms without TLS; TLS with a certificate that has
	// expired.
	SASLOverTLS, ClientCert, SASLPlaintext, Expired string
	// PEM files: the authority that signed the broker's certificate, and a
	// certificate with its key for User.
	CAFile, CertFile, KeyFile string
	// ExpiredCertFile is like CertFile, for ExpiredKeyFile, and has expired.
	ExpiredCertFile, ExpiredKeyFile string

	server, expired string // PEM files with the broker's keys and certificates
}

var securedListeners = []listener{
	{name: "SASLTLS", protocol: "SASL_SSL"},
	{name: "MTLS", protocol: "SSL"},
	{name: "SASLPLAIN", protocol: "SASL_PLAINTEXT"},
	{name: "EXPIRED", protocol: "SSL"},
}

// scramUsers are arguments of the format command: a SCRAM user must exist
// before the first start.
var scramUsers = []string{
	"--add-scram", "SCRAM-SHA-256=[name=" + User + ",password=" + Password + "]",
	"--add-scram", "SCRAM-SHA-512=[name=" + User + ",password=" + Password + "]",
}

// Security returns how to reach the broker's secured listeners, nil if it has none.
func (n *node) Security() *Security { return n.security }

func newSecurity(dir string, ls []listener) (*Security, error) {
	s := &Security{
		SASLOverTLS: ls[0].addr, ClientCert: ls[1].addr, SASLPlaintext: ls[2].addr, Expired: ls[3].addr,
		CAFile:          filepath.Join(dir, "ca.pem"),
		CertFile:        filepath.Join(dir, "client.pem"),
		KeyFile:         filepath.Join(dir, "client-key.pem"),
		ExpiredCertFile: filepath.Join(dir, "client-expired.pem"),
		ExpiredKeyFile:  filepath.Join(dir, "client-expired-key.pem"),
		server:          filepath.Join(dir, "server.pem"),
		expired:         filepath.Join(dir, "server-expired.pem"),
	}
	if err := s.issue(); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return s, nil
}

// properties returns the broker's side of it.
func (s *Security) properties() map[string]string {
	const (
		scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		plain = "org.apache.kafka.common.security.plain.PlainLoginModule required user_" + User + `="` + Password + `";`
	)
	props := map[string]string{
		"sasl.enabled.mechanisms":            "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
		"ssl.keystore.type":                  "PEM",
		"ssl.keystore.location":              s.server,
		"ssl.truststore.type":                "PEM",
		"ssl.truststore.location":            s.CAFile,
		"listener.name.mtls.ssl.client.auth": "required",

		"listener.name.expired.ssl.keystore.type":     "PEM",
		"listener.name.expired.ssl.keystore.location": s.expired,

		"ssl.principal.mapping.rules":    "RULE:^CN=(.*)$/$1/",
		"authorizer.class.name":          "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found": "false",
		"super.users":                    "User:ANONYMOUS", // the open listener and the controller
	}
	for _, l := range []string{"sasltls", "saslplain"} {
		props["listener.name."+l+".scram-sha-256.sasl.jaas.config"] = scram
		props["listener.name."+l+".scram-sha-512.sasl.jaas.config"] = scram
		props["listener.name."+l+".plain.sasl.jaas.config"] = plain
	}
	return props
}

// issue makes an authority and has it sign the broker's and the client's
// certificates, valid for a day, and for each one that is not valid any more.
func (s *Security) issue() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := template(1, "usersync e2e")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	cert, err := sign(ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.CAFile, cert, 0o600); err != nil {
		return err
	}

	for i, file := range []string{s.server, s.expired} {
		server := template(int64(2+i), "localhost")
		server.DNSNames, server.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
		// Kafka's inter-broker connections have the broker for a client as well.
		server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		if file == s.expired {
			expire(server)
		}
		cert, key, err := pair(server, ca, caKey)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, append(key, cert...), 0o600); err != nil {
			return err
		}
	}
	for i, files := range [][2]string{{s.CertFile, s.KeyFile}, {s.ExpiredCertFile, s.ExpiredKeyFile}} {
		client := template(int64(4+i), User)
		client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if files[0] == s.ExpiredCertFile {
			expire(client)
		}
		cert, key, err := pair(client, ca, caKey)
		if err != nil {
			return err
		}
		if err := os.WriteFile(files[0], cert, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(files[1], key, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// expire has a certificate end before now.
func expire(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
}

func template(serial int64, name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// pair returns a new key and its certificate, in PEM.
func pair(t, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if cert, err = sign(t, ca, &k.PublicKey, caKey); err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k) // the only form that Kafka reads
	if err != nil {
		return nil, nil, err
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func sign(t, ca *x509.Certificate, pub *ecdsa.PublicKey, caKey *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, ca, pub, caKey)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
