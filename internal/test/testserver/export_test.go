package testserver

// Orphan does to the server what the death of this process would: it closes the
// pipe without a word.
func (s *Server) Orphan() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.pipe.Close()
	_ = s.shell.Wait()
	s.shell = nil
}
