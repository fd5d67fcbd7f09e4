package registry

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLS says whom to trust and who we are, for https URLs. Files are PEM.
type TLS struct {
	// CAFile or CA, its content, holds the certificates of authorities to trust; neither: the system's.
	CAFile, CA string
	// CertFile and KeyFile, or their contents Cert and Key, are our own certificate, with its chain, and its private key; none:
	// no client certificate.
	CertFile, KeyFile, Cert, Key string
}

func (t *TLS) config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	ca, err := content(t.CA, t.CAFile)
	if err != nil {
		return nil, err
	}
	if ca != nil {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("read the certificates to trust: %s: no PEM certificate in it", orInline(t.CAFile))
		}
	}
	cert, err := content(t.Cert, t.CertFile)
	if err != nil {
		return nil, err
	}
	key, err := content(t.Key, t.KeyFile)
	if err != nil || cert == nil && key == nil {
		return cfg, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("read the client certificate and its key: %w", err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg, nil
}

// content is the text, or what the file holds; nil for neither.
func content(text, file string) ([]byte, error) {
	if text != "" {
		return []byte(text), nil
	}
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read PEM file: %w", err)
	}
	return b, nil
}

func orInline(file string) string {
	if file == "" {
		return "the value given"
	}
	return file
}
