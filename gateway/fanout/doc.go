// Package fanout hands what WeChat pushes for an account to each [Subscriber] whose
// [Rule] says so, signed and encrypted with the subscriber's own keys. The first of them
// answers the follower. What a subscriber does not take waits in the store until it does.
package fanout
