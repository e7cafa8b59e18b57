package testserver

import "time"

// WatchStill returns a function that tells for how long nothing of this process ran, at
// the most, since the watch began.
func WatchStill() (longest func() time.Duration) {
	stop, told := make(chan struct{}), make(chan time.Duration)
	go func() {
		const step = 10 * time.Millisecond
		var most time.Duration
		for last := time.Now(); ; {
			select {
			case <-stop:
				told <- most
				return
			case <-time.After(step):
			}
			now := time.Now()
			most, last = max(most, now.Sub(last)-step), now
		}
	}()
	return func() time.Duration { close(stop); return <-told }
}
