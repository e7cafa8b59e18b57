// Package interop holds tests alone: SDKs that we did not write, in the versions
// that go.mod and testdata/npm/package.json name and unmodified, against this
// module's simulator of WeChat. They show that the simulator is WeChat enough for
// them, and what each of them does when a token ends or is superseded.
//
//	make interop
//
// An SDK is told where WeChat is by a target alone, so that the same tests run
// against anything else that speaks WeChat's API.
package interop
