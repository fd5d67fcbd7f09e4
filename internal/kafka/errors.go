package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	kafkago "github.com/segmentio/kafka-go"
)

var (
	// ErrClosed is returned by calls on a closed Client or Producer.
	ErrClosed = errors.New("kafka client is closed")
	// ErrUnknownTopic says that the cluster has no topic of that name, or does not let this user see it.
	ErrUnknownTopic = errors.New("unknown topic")
)

// ErrorCode is an error code of the Kafka protocol (https://kafka.apache.org/protocol#protocol_error_codes).
type ErrorCode int16

// String gives the code's name and number, e.g. "Message Size Too Large (10)".
func (c ErrorCode) String() string {
	title := kafkago.Error(c).Title()
	if title == "" {
		title = "Kafka error"
	}
	return fmt.Sprintf("%s (%d)", title, int16(c))
}

// The codes this package decides on, named as kafka-go names them.
const (
	codeUnknown               = ErrorCode(kafkago.Unknown)
	codeOffsetOutOfRange      = ErrorCode(kafkago.OffsetOutOfRange)
	codeCorruptMessage        = ErrorCode(kafkago.InvalidMessage)
	codeUnknownTopic          = ErrorCode(kafkago.UnknownTopicOrPartition)
	codeLeaderNotAvailable    = ErrorCode(kafkago.LeaderNotAvailable)
	codeNotLeader             = ErrorCode(kafkago.NotLeaderForPartition)
	codeRequestTimedOut       = ErrorCode(kafkago.RequestTimedOut)
	codeMessageTooLarge       = ErrorCode(kafkago.MessageSizeTooLarge)
	codeGroupLoading          = ErrorCode(kafkago.GroupLoadInProgress)
	codeCoordinatorNotAvail   = ErrorCode(kafkago.GroupCoordinatorNotAvailable)
	codeNotCoordinator        = ErrorCode(kafkago.NotCoordinatorForGroup)
	codeRecordListTooLarge    = ErrorCode(kafkago.RecordListTooLarge)
	codeNotEnoughAfterAppend  = ErrorCode(kafkago.NotEnoughReplicasAfterAppend)
	codeIllegalGeneration     = ErrorCode(kafkago.IllegalGeneration)
	codeUnknownMember         = ErrorCode(kafkago.UnknownMemberId)
	codeRebalanceInProgress   = ErrorCode(kafkago.RebalanceInProgress)
	codeTopicAuthorization    = ErrorCode(kafkago.TopicAuthorizationFailed)
	codeGroupAuthorization    = ErrorCode(kafkago.GroupAuthorizationFailed)
	codeClusterAuthorization  = ErrorCode(kafkago.ClusterAuthorizationFailed)
	codeInvalidTimestamp      = ErrorCode(kafkago.InvalidTimestamp)
	codeUnsupportedVersion    = ErrorCode(kafkago.UnsupportedVersion)
	codeUnsupportedMechanism  = ErrorCode(kafkago.UnsupportedSASLMechanism)
	codeIllegalSASLState      = ErrorCode(kafkago.IllegalSASLState)
	codeSASLFailed            = ErrorCode(kafkago.SASLAuthenticationFailed)
	codeInvalidTopic          = ErrorCode(kafkago.InvalidTopic)
	codeInvalidReplication    = ErrorCode(kafkago.InvalidReplicationFactor)
	codeInvalidConfig         = ErrorCode(kafkago.InvalidConfiguration)
	codeTopicAlreadyExists    = ErrorCode(kafkago.TopicAlreadyExists)
	codeNotController         = ErrorCode(kafkago.NotController)
	codePolicyViolation       = ErrorCode(kafkago.PolicyViolation)
	codeOutOfOrderSequence    = ErrorCode(kafkago.OutOfOrderSequenceNumber)
	codeDuplicateSequence     = ErrorCode(kafkago.DuplicateSequenceNumber)
	codeInvalidProducerEpoch  = ErrorCode(kafkago.InvalidProducerEpoch)
	codeInvalidProducerID     = ErrorCode(kafkago.InvalidProducerIDMapping)
	codeTxnIDAuthorization    = ErrorCode(kafkago.TransactionalIDAuthorizationFailed)
	codeUnknownProducerID     = ErrorCode(kafkago.UnknownProducerId)
	codeFencedInstance        = ErrorCode(kafkago.FencedInstanceID)
	codeInvalidRecord         = ErrorCode(kafkago.InvalidRecord)
	codeFencedLeaderEpoch     = ErrorCode(kafkago.FencedLeaderEpoch)
	codeUnknownLeaderEpoch    = ErrorCode(kafkago.UnknownLeaderEpoch)
	codeOffsetNotAvailable    = ErrorCode(kafkago.OffsetNotAvailable)
	codeThrottlingQuota       = ErrorCode(kafkago.ThrottlingQuotaExceeded)
	codeNotEnoughReplicas     = ErrorCode(kafkago.NotEnoughReplicas)
	codeReplicaNotAvailable   = ErrorCode(kafkago.ReplicaNotAvailable)
	codeBrokerNotAvailable    = ErrorCode(kafkago.BrokerNotAvailable)
	codeNetworkException      = ErrorCode(kafkago.NetworkException)
	codeStorageError          = ErrorCode(kafkago.KafkaStorageError)
	codeListenerNotFound      = ErrorCode(kafkago.ListenerNotFound)
	codeGroupIDNotFound       = ErrorCode(kafkago.GroupIdNotFound)
	codeUnstableOffsetCommit  = ErrorCode(kafkago.UnstableOffsetCommit)
	codeReassignmentInProg    = ErrorCode(kafkago.ReassignmentInProgress)
	codeUnknownTopicID        = ErrorCode(kafkago.UnknownTopicID)
	codeConcurrentTransaction = ErrorCode(kafkago.ConcurrentTransactions)
	codeMemberIDRequired      = ErrorCode(kafkago.MemberIDRequired)
)

// retriable: the same request may succeed a moment later, perhaps at another broker.
func (c ErrorCode) retriable() bool {
	switch c {
	case codeUnknown, codeCorruptMessage, codeUnknownTopic, codeLeaderNotAvailable, codeNotLeader, codeRequestTimedOut,
		codeBrokerNotAvailable, codeReplicaNotAvailable, codeNetworkException, codeGroupLoading, codeCoordinatorNotAvail,
		codeNotCoordinator, codeNotEnoughReplicas, codeNotEnoughAfterAppend, codeNotController, codeStorageError,
		codeListenerNotFound, codeFencedLeaderEpoch, codeUnknownLeaderEpoch, codeOffsetNotAvailable, codeThrottlingQuota,
		codeUnstableOffsetCommit, codeReassignmentInProg, codeUnknownTopicID, codeConcurrentTransaction:
		return true
	}
	return false
}

// BrokerError is an error answer of a broker.
type BrokerError struct {
	Code    ErrorCode
	Message string // the broker's own words, often empty
}

func (e *BrokerError) Error() string {
	if e.Message != "" {
		return e.Code.String() + ": " + e.Message
	}
	if d := kafkago.Error(e.Code).Description(); d != "" {
		return e.Code.String() + ": " + d
	}
	return e.Code.String()
}

// Is makes errors.Is(err, ErrUnknownTopic) true for UNKNOWN_TOPIC_OR_PARTITION.
func (e *BrokerError) Is(target error) bool {
	return target == ErrUnknownTopic && e.Code == codeUnknownTopic
}

// brokerError returns nil for code 0.
func brokerError(code int16, message string) error {
	if code == 0 {
		return nil
	}
	return &BrokerError{Code: ErrorCode(code), Message: message}
}

func hasCode(err error, codes ...ErrorCode) bool {
	var be *BrokerError
	if !errors.As(err, &be) {
		return false
	}
	for _, c := range codes {
		if be.Code == c {
			return true
		}
	}
	return false
}

// Retriable reports whether the call that returned err may succeed when it is made again: a network fault, a broker that
// is down or moving a leader. Errors about rights, names, sizes and offsets are not retriable.
func Retriable(err error) bool {
	if err == nil || errors.Is(err, ErrClosed) {
		return false
	}
	var be *BrokerError
	if errors.As(err, &be) {
		return be.Code.retriable()
	}
	if ke, ok := errors.AsType[kafkago.Error](err); ok {
		return ErrorCode(ke).retriable() || ErrorCode(ke) == codeUnknownMember ||
			ErrorCode(ke) == codeIllegalGeneration || ErrorCode(ke) == codeRebalanceInProgress
	}
	return networkError(err)
}

// networkError reports a fault of the connection, as opposed to an answer that came over it.
func networkError(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var ne net.Error
	var ce *connError
	return errors.As(err, &ce) || errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrDeadlineExceeded)
}

// ProduceError is the end of a Produce call that no retry can heal. Nothing of the call is sent after it; records of the
// call that went out in an earlier request stay in the topic.
type ProduceError struct {
	Topic     string
	Partition int32
	Code      ErrorCode
	Remedy    string // what the operator must do; "": Err says it
	Err       error  // the broker's answer
}

func (e *ProduceError) Error() string {
	if e.Remedy == "" {
		return fmt.Sprintf("produce to %s/%d: %v", e.Topic, e.Partition, e.Err)
	}
	return fmt.Sprintf("produce to %s/%d: %v; %s", e.Topic, e.Partition, e.Err, e.Remedy)
}

func (e *ProduceError) Unwrap() error { return e.Err }

// TooLarge tells whether a record is over what the topic or the brokers take.
func (e *ProduceError) TooLarge() bool {
	return e.Code == codeMessageTooLarge || e.Code == codeRecordListTooLarge
}

// OffsetOutOfRangeError says that the asked offset is not in the log: below LogStart (retention has deleted it, or the
// topic was created anew) or above LogEnd (the topic was created anew or truncated).
type OffsetOutOfRangeError struct {
	TP       TopicPartition
	Offset   int64
	LogStart int64 // offset of the first record, -1 when it could not be read
	LogEnd   int64 // offset after the last record, -1 when it could not be read
}

func (e *OffsetOutOfRangeError) Error() string {
	return fmt.Sprintf("fetch %s: offset %d is outside of the log [%d, %d)", e.TP, e.Offset, e.LogStart, e.LogEnd)
}

// RebalanceError says that a commit was refused because the committer is no longer a member of the group's current
// generation: its partitions have gone, or are going, to someone else. Offsets were not stored.
type RebalanceError struct {
	Group string
	Err   error
}

func (e *RebalanceError) Error() string {
	return fmt.Sprintf("commit offsets of group %s: the group has rebalanced: %v", e.Group, e.Err)
}

func (e *RebalanceError) Unwrap() error { return e.Err }
