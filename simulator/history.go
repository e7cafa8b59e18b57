package simulator

// Events returns the last requests, oldest first, at most Options.Events.
func (s *Simulator) Events() []Event { return s.events.all() }

func (s *Simulator) note(e Event) {
	s.events.add(e)
	if s.options.Observe != nil {
		s.options.Observe(e)
	}
}
