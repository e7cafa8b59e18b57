// Package interop holds tests alone: SDKs that we did not write, in the versions
// that go.mod and testdata/npm/package.json name and unmodified, against this
// module's simulator of WeChat and against its gateway. They show that both are
// WeChat enough for them: on the simulator each SDK does what it does when a token
// ends or is superseded; through two gateways, one of which is killed, none of
// them shows that to its user.
//
//	make interop
//
// An SDK is told where WeChat is by a target alone, so that the same clients run
// against anything that speaks WeChat's API.
package interop
