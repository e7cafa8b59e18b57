// Package remotetest is what the tests of every store on a server have in
// common beyond the contract: opening, faults, restarts, cost. Only tests import
// it.
package remotetest
