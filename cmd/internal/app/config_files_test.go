package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	usync "usersync/sync"
)

func TestSecretFiles(t *testing.T) {
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name, path, warning, problem string
	}{
		{"private", file("private", "s\n", 0o400), "", ""},
		{"of the group", file("group", "s\n", 0o440), "", ""},
		{
			"of the world", file("world", "s\n", 0o644),
			"c.yaml:24: destinations.haptik.token_file: every user of this machine may read the file; chmod o= it", "",
		},
		{"empty", file("empty", "\n", 0o400), "", "c.yaml:24: destinations.haptik.token_file: is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := good(t, "token: ${HAPTIK_TOKEN}", "token_file: "+tt.path)
			c, warnings, err := parse("c.yaml", data, env())
			if got := fmt.Sprint(err); got != "<nil>" && got != tt.problem || (err == nil) != (tt.problem == "") {
				t.Fatalf("got %v, want %q", err, tt.problem)
			}
			if got := fmt.Sprint(join(warnings)); got != tt.warning && (got != "<nil>" || tt.warning != "") {
				t.Errorf("got warning %s, want %q", got, tt.warning)
			}
			if err == nil && c.Haptik.Token != (usync.Secret{File: tt.path}) {
				t.Errorf("the token's file is %q, want %q", c.Haptik.Token.File, tt.path)
			}
		})
	}
}

func TestWarnsOfReadablePassword(t *testing.T) {
	_, warnings := load(t, good(t, `mechanism: ""`, "mechanism: plain\n    username: u\n    password: p"))
	want := "c.yaml:10: kafka.sasl.mechanism: plain without TLS sends the password readably; set kafka.tls.enabled, or use scram"
	if got := fmt.Sprint(join(warnings)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTLSConfig(t *testing.T) {
	if c, err := (Kafka{TLS: TLS{CAFile: "not read"}}).TLSConfig(); c != nil || err != nil {
		t.Errorf("TLS that is off gives %v, %v", c, err)
	}
	certFile, keyFile := keyPair(t)
	c, err := Kafka{TLS: TLS{Enabled: true, CAFile: certFile, CertFile: certFile, KeyFile: keyFile}}.TLSConfig()
	if err != nil {
		t.Fatal(err)
	}
	if c.MinVersion != tls.VersionTLS12 || c.RootCAs == nil || len(c.Certificates) != 1 || c.InsecureSkipVerify {
		t.Errorf("min version %x, authorities %v, %d certificates", c.MinVersion, c.RootCAs, len(c.Certificates))
	}
}

// keyPair writes a certificate and its key in PEM.
func keyPair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", private)
}
