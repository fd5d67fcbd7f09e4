package capture

import (
	"context"
	"fmt"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// checkVersion refuses sources, and settings, that the source's version of HBase has no means for (docs/versions.md).
func (p *process) checkVersion(ctx context.Context) error {
	v, err := p.cluster.Version(ctx)
	if err != nil {
		return fmt.Errorf("connect to the source: %w", err)
	}
	return p.cfg.fits(v)
}

func (c *Config) fits(v admin.Version) error {
	switch {
	case !v.AtLeast(1, 4):
		return fmt.Errorf("hbase.zookeeper.quorum: the source is HBase %s; waltap captures from 1.4 or later (docs/versions.md)", v)
	case c.PeerSerial && !v.AtLeast(2, 1):
		return fmt.Errorf("hbase.peer.serial: the source is HBase %s, and serial peers are there from 2.1 on: set hbase.peer.serial: false (what that means for the order of changes: docs/versions.md)", v)
	}
	return nil
}
