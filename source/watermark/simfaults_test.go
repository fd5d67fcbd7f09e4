package watermark

import (
	"fmt"
	"maps"
	"slices"
)

// crash kills a process. Its znode stays until expire.
func (s *sim) crash() {
	v := s.any(up)
	if v == nil || s.any(func(x *simServer) bool { return x.up && x != v }) == nil {
		return
	}
	v.up = false
	for _, q := range s.servers {
		if q.shipper == v {
			q.shipper, q.batch = nil, nil
		}
	}
}

// unassign takes the regions of a dead server from it, which the master does once its znode is gone or its successor
// has reported.
func (s *sim) unassign(v *simServer) {
	for i, r := range s.regions {
		if r == v {
			s.regions[i] = s.any(up)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.beatsOn)) {
		if s.beatsOn[name] == v {
			s.beatsOn[name] = s.any(up)
		}
	}
}

func (s *sim) expire() {
	if v := s.any(func(v *simServer) bool { return !v.up && v.registered }); v != nil {
		v.registered = false
		s.unassign(v)
	}
}

func (s *sim) restart() {
	v := s.any(func(v *simServer) bool { return !v.up && s.at(v.name) == nil })
	if v != nil {
		s.start(v.name.Host)
		s.unassign(v)
	}
}

// claim lets a live server take over the queue of a dead one.
func (s *sim) claim() {
	q := s.any(func(v *simServer) bool { return v.shipper == nil && !v.drained })
	if q == nil {
		return
	}
	q.shipper = s.any(up)
	q.drained = q.pos == len(q.wal)
}

// resource restarts a replication source, as a change of the peer does: it begins again at its last position.
func (s *sim) resource() {
	if v := s.any(func(v *simServer) bool { return v.batch != nil }); v != nil {
		v.batch = nil
	}
}

func (s *sim) move() {
	if s.pick(2) == 0 {
		if i := s.pick(len(s.regions)); s.regions[i].up {
			s.regions[i] = s.any(up)
		}
		return
	}
	if name := fmt.Sprint("beat", s.pick(3)); s.beatsOn[name].up {
		s.beatsOn[name] = s.any(up)
	}
}
