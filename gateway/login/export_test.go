package login

import "time"

// MaxIssued is how many tickets of a client live at one gateway.
const MaxIssued = maxIssued

// Issue counts n tickets of a client.
func (r *Relay) Issue(client ID, n int) {
	for range n {
		r.mayIssue(client, time.Now())
	}
}
