// Package kafka is waltap's Kafka client: ordered producing with a known outcome, fetching, consumer groups, compacted
// topics, and the few administrative calls waltap needs. It is the only package that imports kafka-go, of which it uses
// the wire messages, the compression and authentication codecs and the group membership; connections, routing, record
// batches and retries are its own (see conn for the reason).
//
// All calls end with their context. Errors say what could not be done and why; Retriable tells which may heal.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Client is a connection to one Kafka cluster. It is safe for concurrent use. It has no goroutines of its own.
type Client struct {
	cfg     Config
	pool    *pool
	cluster *cluster
	groups  coordinators
	bodies  bodies
}

// Connect returns a client after a broker of cfg.BootstrapServers has answered and a broker that it advertises could be
// reached. Every address is tried once; the error names bootstrap.servers and what each address said. Connect returns by
// the end of ctx, and in any case after DialTimeout and RequestTimeout for each address.
func Connect(ctx context.Context, cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, cluster: newCluster()}
	c.pool = newPool(&c.cfg)
	if err := c.probe(ctx); err != nil {
		c.pool.close()
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	return c, nil
}

func (c *Client) probe(ctx context.Context) error {
	advertised, err := c.advertised(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, addr := range advertised {
		cn, err := c.pool.get(ctx, addr)
		if err == nil {
			c.pool.put(cn)
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("bootstrap.servers=%s answered, but no broker can be reached at its advertised address; "+
		"check advertised.listeners of the brokers: %w", c.cfg.bootstrap(), errors.Join(errs...))
}

// advertised asks for the brokers' addresses until there are some: a broker that has just started, or that stood still for longer
// than its session with the controller, answers before it is one of the cluster again.
func (c *Client) advertised(ctx context.Context) ([]string, error) {
	start := time.Now()
	for n := 0; ; n++ {
		if _, err := c.readMetadata(ctx, []string{}); err != nil {
			return nil, err
		}
		c.cluster.mu.Lock()
		addrs := slices.Collect(maps.Values(c.cluster.brokers))
		c.cluster.mu.Unlock()
		switch {
		case len(addrs) > 0:
			return addrs, nil
		case ctx.Err() != nil || time.Since(start) > noBrokerPatience:
			return nil, endOf(ctx, fmt.Errorf("bootstrap.servers=%s answered, but the cluster has no broker: none is registered with its controller; look at the brokers' logs", c.cfg.bootstrap()))
		}
		sleep(ctx, backoff(n, minBackoff, maxBackoff))
	}
}

// Close closes all connections. Calls under way end with ErrClosed. Close the client's producers first.
func (c *Client) Close() error {
	c.pool.close()
	return nil
}

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second

	// noBrokerPatience is how long a cluster without a broker is not believed in.
	noBrokerPatience = 10 * time.Second

	// A broker that has just started, or that has not heard of a new topic yet, knows fewer topics than there are. For
	// this long "unknown topic" is not believed.
	unknownTopicPatience = 3 * time.Second
)

// backoff returns the wait after the n-th failure in a row, n from 0.
func backoff(n int, lo, hi time.Duration) time.Duration {
	if n > 20 {
		return hi
	}
	return min(lo<<n, hi)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// retry calls f until it succeeds, fails for good, or ctx or APITimeout ends. f gets the time of the attempt before, for
// Client.leader.
func (c *Client) retry(ctx context.Context, f func(ctx context.Context, stale time.Time) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.APITimeout)
	defer cancel()
	var stale time.Time
	start := time.Now()
	for n := 0; ; n++ {
		attempt := time.Now()
		err := f(ctx, stale)
		if err == nil || errors.Is(err, ErrClosed) {
			return err
		}
		if ctx.Err() != nil || !Retriable(err) || errors.Is(err, ErrUnknownTopic) && attempt.Sub(start) > unknownTopicPatience {
			return endOf(ctx, err)
		}
		stale = attempt
		sleep(ctx, backoff(n, minBackoff, maxBackoff))
		if ctx.Err() != nil {
			return endOf(ctx, err)
		}
	}
}

// endOf adds the end of ctx to err, so that both can be asked for.
func endOf(ctx context.Context, err error) error {
	if ctxErr := context.Cause(ctx); ctxErr != nil && !errors.Is(err, ctxErr) {
		return fmt.Errorf("%w (last error: %w)", ctxErr, err)
	}
	return err
}
