// Package chaos holds no code, only tests: several real processes on one store,
// against one simulated WeChat with short lives, while one of them at a time is
// killed, stopped, cut off from the store or from WeChat, or the store restarts.
//
//	make chaos              25 s for each engine
//	make chaos CHAOS=10m    longer
package chaos
