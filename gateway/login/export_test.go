package login

// MaxIssued is how many tickets of a client live at one gateway.
const MaxIssued = maxIssued

// Issue counts n tickets of a client.
func (r *Relay) Issue(client string, n int) {
	for range n {
		r.issued.Take(client)
	}
}
