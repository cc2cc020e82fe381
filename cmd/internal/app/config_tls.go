package app

import (
	"crypto/tls"
	"crypto/x509"
	"os"
)

// TLSConfig returns how to connect to the brokers, or nil when TLS is off. Its
// error is a Problem that names the file that is wrong.
func (k Kafka) TLSConfig() (*tls.Config, error) {
	if !k.TLS.Enabled {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := k.TLS.CAFile; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, Problem{Key: "kafka.tls.ca_file", Text: "cannot be read: " + reason(err)}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, Problem{Key: "kafka.tls.ca_file", Text: "holds no certificate in PEM"}
		}
	}
	if k.TLS.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(k.TLS.CertFile, k.TLS.KeyFile)
		if err != nil {
			return nil, Problem{Key: "kafka.tls.cert_file", Text: "with key_file is no key pair: " + reason(err)}
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}
