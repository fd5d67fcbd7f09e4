package kafka

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/youmark/pkcs8"

	"github.com/waltap/waltap/internal/secret"
)

// TLS says how connections are encrypted (security.protocol SSL or SASL_SSL). Certificates and keys are PEM, in a file or
// inline. The files are read for each connection, so that renewed ones are taken up while the process runs.
type TLS struct {
	TrustStore   string // ssl.truststore.location
	Certificates string // ssl.truststore.certificates; with neither, the authorities that this machine trusts

	KeyStore    string        // ssl.keystore.location: the private key and its certificate chain in one file
	Key         secret.Secret // ssl.keystore.key, with
	Chain       string        // ssl.keystore.certificate.chain, the key's own certificate first
	KeyPassword secret.Secret // ssl.key.password

	// SkipHostCheck takes a certificate for any host, as long as its authority is trusted
	// (ssl.endpoint.identification.algorithm, empty).
	SkipHostCheck bool
	MinVersion    uint16 // ssl.enabled.protocols; tls.VersionTLS12 when 0
	MaxVersion    uint16
}

// KeyFault is what is wrong with the value of a configuration key.
type KeyFault struct {
	Key string
	Err error
}

func (e *KeyFault) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *KeyFault) Unwrap() error { return e.Err }

// Load reads the certificates and the key. The error is a *KeyFault.
func (t *TLS) Load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: t.MinVersion, MaxVersion: t.MaxVersion}
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	if err := t.loadRoots(c); err != nil {
		return nil, err
	}
	if err := t.loadKey(c); err != nil {
		return nil, err
	}
	if t.SkipHostCheck {
		c.InsecureSkipVerify = true // of the chain too; so that is done here
		c.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s.PeerCertificates, c.RootCAs) }
	}
	return c, nil
}

func (t *TLS) loadRoots(c *tls.Config) error {
	key, text := "ssl.truststore.certificates", []byte(t.Certificates)
	if t.TrustStore != "" {
		key = "ssl.truststore.location"
		var err error
		if text, err = readPEM(t.TrustStore, TrustStoreCommand); err != nil {
			return &KeyFault{key, err}
		}
	} else if t.Certificates == "" {
		return nil
	}
	certs, err := certificates(text)
	if err != nil {
		return &KeyFault{key, err}
	}
	c.RootCAs = x509.NewCertPool()
	for _, cert := range certs {
		c.RootCAs.AddCert(cert)
	}
	return nil
}

func (t *TLS) loadKey(c *tls.Config) error {
	keyName, chainName := "ssl.keystore.key", "ssl.keystore.certificate.chain"
	key, chain := []byte(t.Key.Reveal()), []byte(t.Chain)
	switch {
	case t.KeyStore != "":
		keyName, chainName = "ssl.keystore.location", "ssl.keystore.location"
		both, err := readPEM(t.KeyStore, KeyStoreCommand)
		if err != nil {
			return &KeyFault{keyName, err}
		}
		key, chain = both, both
	case t.Key.IsZero():
		return nil
	}
	certs, err := certificates(chain)
	if err != nil {
		return &KeyFault{chainName, err}
	}
	private, err := privateKey(key, t.KeyPassword)
	if err != nil {
		return &KeyFault{keyName, err}
	}
	own := slices.IndexFunc(certs, func(cert *x509.Certificate) bool { return samePublic(private, cert) })
	if own < 0 {
		return &KeyFault{chainName, fmt.Errorf("the private key belongs to none of the certificates (the first is that of %s)", certs[0].Subject)}
	}
	// Its own certificate comes first on the wire; a converted key store may have another order.
	certs[0], certs[own] = certs[own], certs[0]
	pair := tls.Certificate{PrivateKey: private, Leaf: certs[0]}
	for _, cert := range certs {
		pair.Certificate = append(pair.Certificate, cert.Raw)
	}
	c.Certificates = []tls.Certificate{pair}
	return nil
}

func samePublic(private any, cert *x509.Certificate) bool {
	signer, ok := private.(crypto.Signer)
	if !ok {
		return false
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// verifyChain is what crypto/tls does, but for the name of the host.
func verifyChain(certs []*x509.Certificate, roots *x509.CertPool) error {
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, cert := range certs[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err := certs[0].Verify(o)
	return err
}

// readPEM reads a file, and refuses the binary key stores of Java with the command that converts them.
func readPEM(path string, convert func(path string) string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if store := binaryStore(b); store != "" {
		return nil, fmt.Errorf("%s is a %s key store, waltap reads PEM: convert it with: %s", path, store, convert(path))
	}
	return b, nil
}

// binaryStore tells a key store by its first bytes; "" for none.
func binaryStore(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte{0xfe, 0xed, 0xfe, 0xed}):
		return "JKS"
	case len(b) > 1 && b[0] == 0x30 && b[1]&0x80 != 0: // a long ASN.1 sequence
		return "PKCS12"
	}
	return ""
}

// TrustStoreCommand converts a JKS or PKCS12 trust store.
func TrustStoreCommand(path string) string {
	return fmt.Sprintf("keytool -list -rfc -keystore %s > %s", shellQuote(path), shellQuote(withPEM(path)))
}

// KeyStoreCommand converts a JKS or PKCS12 key store.
func KeyStoreCommand(path string) string {
	p12 := shellQuote(path + ".p12")
	return fmt.Sprintf("keytool -importkeystore -srckeystore %s -destkeystore %s -deststoretype PKCS12 && openssl pkcs12 -in %s -out %s (its key stays encrypted: ssl.key.password)",
		shellQuote(path), p12, p12, shellQuote(withPEM(path)))
}

func withPEM(path string) string {
	dot := strings.LastIndexByte(path, '.')
	if dot <= strings.LastIndexByte(path, '/') {
		dot = len(path)
	}
	return path[:dot] + ".pem"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellQuote writes a word for a command line.
func shellQuote(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// pemBlock finds a block also where its line ends have become blanks or are missing, as they are in one line of a
// properties file; Kafka takes that too.
var pemBlock = regexp.MustCompile(`-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END ([A-Z0-9 ]+)-----`)

func pemBlocks(text []byte) ([]*pem.Block, error) {
	if bytes.Contains(text, []byte("Proc-Type: 4,ENCRYPTED")) {
		return nil, errors.New("the key is encrypted in the old way of OpenSSL: convert it with: openssl pkcs8 -topk8 -in key.pem -out pkcs8.pem")
	}
	var blocks []*pem.Block
	for _, m := range pemBlock.FindAllSubmatch(text, -1) {
		der, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(m[2]), nil)))
		if err != nil || !bytes.Equal(m[1], m[3]) {
			return nil, fmt.Errorf("the PEM block %s is damaged", m[1])
		}
		blocks = append(blocks, &pem.Block{Type: string(m[1]), Bytes: der})
	}
	return blocks, nil
}

func certificates(text []byte) ([]*x509.Certificate, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for _, b := range blocks {
		if b.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate in it: want PEM, -----BEGIN CERTIFICATE-----")
	}
	return certs, nil
}

// privateKey never tells anything of the key in its error.
func privateKey(text []byte, password secret.Secret) (any, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	for _, b := range blocks {
		var key any
		switch b.Type {
		case "ENCRYPTED PRIVATE KEY":
			if password.IsZero() {
				return nil, errors.New("the private key is encrypted: give ssl.key.password")
			}
			key, _, err = pkcs8.ParsePrivateKey(b.Bytes, []byte(password.Reveal()))
			if err != nil {
				return nil, errors.New("the private key cannot be decrypted: ssl.key.password is wrong, or the encryption is not PBES2 (openssl pkcs8 -topk8 -v2 aes-256-cbc makes such a key)")
			}
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(b.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, errors.New("the private key is damaged, or of a kind that waltap does not read: want RSA, ECDSA or Ed25519 in PKCS#8")
		}
		return key, nil
	}
	return nil, errors.New("there is no private key in it: want PEM, -----BEGIN PRIVATE KEY-----")
}

// dialBroker opens a connection and, where the configuration wants it, encrypts it.
func (cfg *Config) dialBroker(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := cfg.Dial(ctx, network, addr)
	if err != nil || cfg.TLS == nil {
		return nc, err
	}
	tc, err := cfg.TLS.Load()
	if err != nil {
		nc.Close()
		return nil, err
	}
	if tc.ServerName, _, err = net.SplitHostPort(addr); err != nil {
		nc.Close()
		return nil, err
	}
	c := tls.Client(nc, tc)
	if err := c.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("encrypt the connection: %w%s", err, cfg.tlsRemedy(err, tc.ServerName))
	}
	return c, nil
}
