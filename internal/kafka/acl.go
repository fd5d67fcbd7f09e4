package kafka

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	kafkago "github.com/segmentio/kafka-go"
)

// Operations of Kafka's access control that waltap needs, as kafka-acls.sh writes them.
const (
	OpRead            = "Read"
	OpWrite           = "Write"
	OpCreate          = "Create"
	OpDelete          = "Delete"
	OpDescribe        = "Describe"
	OpDescribeConfigs = "DescribeConfigs"
	OpIdempotentWrite = "IdempotentWrite"
)

// Resource types of Kafka's access control.
const (
	Topic   = "Topic"
	Group   = "Group"
	Cluster = "Cluster"
)

// ACL is one right on a resource. Name is that of the resource, or with Prefixed what the names begin with; a Cluster has
// none.
type ACL struct {
	Operation string
	Resource  string
	Name      string
	Prefixed  bool
}

func (a ACL) String() string {
	what := strings.ToLower(a.Resource)
	if a.Name != "" {
		what += " " + a.Name
	}
	if a.Prefixed {
		what += "*"
	}
	return fmt.Sprintf("%s on %s", a.Operation, what)
}

// Command is the command of Kafka's that gives a principal, such as User:alice, the right.
func (a ACL) Command(bootstrap, principal string) string {
	return ACLCommand(bootstrap, principal, a, a.Operation)
}

// ACLCommand gives several rights on the resource of a.
func ACLCommand(bootstrap, principal string, a ACL, operations ...string) string {
	b := fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal %s", shellQuote(bootstrap), shellQuote(principal))
	for _, o := range operations {
		b += " --operation " + o
	}
	switch a.Resource {
	case Cluster:
		return b + " --cluster"
	case Group:
		b += " --group " + shellQuote(a.Name)
	default:
		b += " --topic " + shellQuote(a.Name)
	}
	if a.Prefixed {
		b += " --resource-pattern-type prefixed"
	}
	return b
}

// AuthorizationError says that this user lacks a right.
type AuthorizationError struct {
	ACL
	Principal string // as the broker sees this user, unless it maps names
	Bootstrap string
	Err       error // the broker's answer
}

func (e *AuthorizationError) Error() string {
	return fmt.Sprintf("%v; %s lacks the right %s; an administrator gives it with: %s (docs/kafka-acls.md has all that waltap needs, waltap acls -f FILE prints them)",
		e.Err, e.Principal, e.ACL, e.Command(e.Bootstrap, e.Principal))
}

func (e *AuthorizationError) Unwrap() error { return e.Err }

// denied makes an error answer that is about rights one that names the right, and the command that gives it.
func (c *Client) denied(err error, operation, resource, name string) error {
	if err == nil || errors.As(err, new(*AuthorizationError)) {
		return err
	}
	ke, isCode := errors.AsType[kafkago.Error](err)
	switch code := ErrorCode(ke); {
	case hasCode(err, codeTopicAuthorization, codeGroupAuthorization, codeClusterAuthorization):
	case isCode && (code == codeTopicAuthorization || code == codeGroupAuthorization || code == codeClusterAuthorization):
	default:
		return err
	}
	return &AuthorizationError{ACL: ACL{Operation: operation, Resource: resource, Name: name}, Principal: c.cfg.Principal(), Bootstrap: c.cfg.bootstrap(), Err: err}
}

// deniedTopic is denied for the one topic that err is about.
func (c *Client) deniedTopic(err error, operation, topic string) error {
	return c.denied(err, operation, Topic, topic)
}

// Principal is how the brokers name this user in access control lists, unless they map names
// (ssl.principal.mapping.rules).
func (cfg *Config) Principal() string {
	if cfg.SASL != nil {
		return "User:" + cfg.SASL.Username
	}
	if cfg.TLS != nil {
		if c, err := cfg.TLS.Load(); err == nil && len(c.Certificates) > 0 {
			return "User:" + distinguishedName(c.Certificates[0].Leaf)
		}
	}
	return "User:ANONYMOUS"
}

// distinguishedName is the subject of a certificate as Java writes it: in the reverse of the order in which it is encoded.
func distinguishedName(cert *x509.Certificate) string {
	var subject pkix.RDNSequence
	if _, err := asn1.Unmarshal(cert.RawSubject, &subject); err != nil {
		return cert.Subject.String()
	}
	return subject.String()
}
