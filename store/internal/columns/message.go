package columns

// Message is what is known of a message that somebody claimed, but for its
// content. The table has its columns in every dialect; Redis has it as JSON.
type Message struct {
	Account    string `db:"account"`
	Owner      string `db:"owner"` // who handles it, or did last
	Attempts   int    `db:"attempts"`
	Deliveries int    `db:"deliveries"`
	FirstUS    int64  `db:"first_us"` // of the first claim
	LeaseEndUS int64  `db:"lease_end_us"`
	EndUS      int64  `db:"end_us"`   // when it may be forgotten
	Finished   bool   `db:"finished"` // with Answer
	Answer     []byte `db:"answer"`
	Kept       bool   `db:"kept"`    // the deliveries are answered
	KeptUS     int64  `db:"kept_us"` // since when it waits to be handled; 0 = it does not
}

// Free reports whether somebody else may handle the message.
func (m *Message) Free(nowUS int64) bool { return !m.Finished && m.LeaseEndUS <= nowUS }

// Gone reports whether the message may be forgotten.
func (m *Message) Gone(nowUS int64) bool {
	return m.EndUS <= nowUS && m.KeptUS == 0 && (m.Finished || m.LeaseEndUS <= nowUS)
}

// Take makes owner the one who handles the message and returns the attempt.
func (m *Message) Take(owner string, leaseEndUS int64) int {
	m.Owner, m.LeaseEndUS = owner, leaseEndUS
	m.Attempts++
	return m.Attempts
}
