package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
)

// What a broker does with a client that speaks otherwise than its port does is rarely an answer: mostly it closes the
// connection. The texts here say what that may mean, and begin with "; ".

// tlsRemedy is what to do about a TLS handshake that failed with err.
func (cfg *Config) tlsRemedy(err error, host string) string {
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		issuer := "its authority"
		if unknown.Cert != nil {
			issuer = fmt.Sprintf("the authority %q", unknown.Cert.Issuer)
		}
		return fmt.Sprintf("; add the certificate of %s to ssl.truststore.location (or ssl.truststore.certificates)", issuer)
	}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("; the broker's certificate is for %s: use such a name in bootstrap.servers and in advertised.listeners of the brokers, "+
			"or let the certificate name %s", strings.Join(namesOf(wrong.Certificate), ", "), host)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "; the broker's certificate is out of date (or the clock of this machine is wrong): renew it"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || closedByPeer(err) || errors.Is(err, context.DeadlineExceeded) {
		return "; the port does not seem to speak TLS: use the port of a listener that does, or set security.protocol to " + cfg.protocol(false)
	}
	return alertRemedy(err)
}

// alertRemedy is what to do about an alert of the broker's; "" for another error. In TLS 1.3 a client's certificate is
// refused after the client's part of the handshake is over, with the first answer.
func alertRemedy(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return ""
	}
	if text := op.Err.Error(); strings.Contains(text, "version") || strings.Contains(text, "handshake failure") {
		return "; broker and waltap have no TLS version or cipher in common (ssl.enabled.protocols; TLSv1.2 and TLSv1.3 by default), or the broker wants a certificate (ssl.keystore.*)"
	}
	return "; the broker refuses the certificate of this client, or misses one: set ssl.keystore.location (or ssl.keystore.key and ssl.keystore.certificate.chain) to one of an authority that the broker trusts"
}

// namesOf lists the hosts that a certificate is for.
func namesOf(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = append(names, fmt.Sprintf("no host (its subject is %q)", cert.Subject))
	}
	return names
}

// protocol names the security.protocol like ours, but for its encryption.
func (cfg *Config) protocol(encrypted bool) string {
	name := "PLAINTEXT"
	if encrypted {
		name = "SSL"
	}
	if cfg.SASL != nil {
		name = "SASL_" + name
	}
	return name
}

// helloRemedy is what to do when the very first exchange of a connection failed: answer is what came of it.
func (cfg *Config) helloRemedy(err error, answer []byte) string {
	const alert, handshake, majorVersion = 0x15, 0x16, 3
	if cfg.TLS != nil {
		return alertRemedy(err)
	}
	if len(answer) > 1 && (answer[0] == alert || answer[0] == handshake) && answer[1] == majorVersion {
		return "; the port speaks TLS: set security.protocol to " + cfg.protocol(true)
	}
	if closedByPeer(err) {
		return "; is it a port of Kafka's? If it speaks TLS, set security.protocol to " + cfg.protocol(true)
	}
	return ""
}

// firstRemedy is what to do when the first request behind the handshake failed.
func (cfg *Config) firstRemedy(err error) string {
	if cfg.SASL == nil && closedByPeer(err) {
		return fmt.Sprintf("; the broker may want users to authenticate at this port: set security.protocol to SASL_%s, with sasl.mechanism and the credentials", cfg.protocol(cfg.TLS != nil))
	}
	return ""
}

// saslRemedy is what to do about an authentication that failed.
func (cfg *Config) saslRemedy(err error, offered []string) string {
	switch {
	case hasCode(err, codeUnsupportedMechanism):
		return fmt.Sprintf("; the broker offers %s here: set sasl.mechanism to one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 that is among them, or let it be added to sasl.enabled.mechanisms of the brokers", strings.Join(offered, ", "))
	case hasCode(err, codeIllegalSASLState):
		return "; this port does not authenticate users: set security.protocol to " + strings.TrimPrefix(cfg.protocol(cfg.TLS != nil), "SASL_") + ", or use the port of a listener that does"
	case hasCode(err, codeSASLFailed), closedByPeer(err), !networkError(err):
		where := "PLAIN users stand in sasl.jaas.config of the brokers' listener"
		if cfg.SASL.Mechanism != "PLAIN" {
			where = "kafka-configs.sh --describe --entity-type users --entity-name " + shellQuote(cfg.SASL.Username) + " shows for which mechanisms the user has one"
		}
		return fmt.Sprintf("; user %q or the password is wrong, or the user has none for %s: check sasl.username and sasl.password (or sasl.jaas.config); %s",
			cfg.SASL.Username, cfg.SASL.Mechanism, where)
	}
	return ""
}

// closedByPeer tells whether the other side has hung up.
func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
