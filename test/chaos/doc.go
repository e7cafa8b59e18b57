// Package chaos holds no code, only tests: eight real processes on one store call two
// simulated WeChats with short lives, and a WeCom, while one of them at a time is killed,
// frozen or cut off from the store or from WeChat, tokens are invalidated, and the store
// is restarted, stopped for 5 and 15 s, and made read-only. An observer reads the store
// next to them, so that a call counts as a fault if a live token was in a store that
// answered. The tag keeps `go test ./...`, which would leave all of it out, from linking
// every engine for nothing.
//
//	make chaos                                                          25 s for each engine, and the outages
//	make chaos CHAOS=10m                                                longer
//	go test -tags chaos ./test/chaos -v -chaos 25s -outage 60s          long outages
//	go test -tags chaos ./test/chaos -v -chaos 25s -run /SQLite -logs   one engine, with the logs of the processes
package chaos
