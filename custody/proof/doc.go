// Package proof plays drawn schedules of faults against package custody and checks what
// must never happen. It has no code of its own to import; everything is in its tests.
//
// # What is drawn
//
// A schedule is one to nine steps for one to three processes, on the classic or the
// stable token API, WeCom's gettoken, or a corp's or an app's ticket, with an overlap of one or five minutes: live for a while with users
// that call, restart, kill, supersede the token from outside, lose answers of WeChat,
// answer wrongly, be busy, set the store's clock ahead, make the store unavailable,
// read-only or slow, report a good token as refused once, now and then or always on one
// path, call from an address that is not in the whitelist, or set a trap. A trap waits
// before or after the next load, acquire, begin, save,
// release, shorten, fetch or probe of one process; it loses the call or its answer,
// delays it, freezes the whole process, or kills it.
//
// Each schedule is played in a synctest bubble: real Keepers over store/memory, against
// the token rules of package simulator, which know at each moment what WeChat would
// accept. One world in sixteen is restless: its goroutines yield at random around each
// call, so that what happens in one moment happens in many orders. After the last step
// every world is left undisturbed for more than two and a half hours.
//
// # What is checked
//
//   - A fetch issues no token while the stored one is good, and tokens that were issued
//     and never saved are at most as many as the troubles. (law 1)
//   - A call of Token takes no time while a live token exists. (law 2)
//   - The refusal of an older token reaches no user while there is a newer one. (law 3)
//   - No save succeeds under a fence below the highest that was given. (law 4)
//   - A token that is handed out was issued by WeChat and has not expired; one that WeChat
//     refuses is explained by something outside. (laws 1 and 5)
//   - Fetches are bounded by the number of lives and troubles. (law 6)
//   - No caller waits longer than its own context. (law 8)
//   - No error is returned two seconds after the store has had a live newer token, or
//     has answered again; a store that only refuses to save costs no caller its
//     token. (law 12)
//   - No process fetches while another one that lives does, and no attempt that has ended
//     takes the lease again. (law 1)
//   - Long after the last trouble, every process has a token that WeChat accepts, and no
//     call of a user fails.
//
// Laws 1 to 11 are listed in docs/protocol.md, "What must never happen"; law 12: no error is
// given from memory while the store is not looked at. A failing
// schedule is shrunk by rapid and printed with a diary of the world. To play more:
//
//	go test ./custody/proof -run TestProofAtScale -rapid.checks 20000
//
// # Which mutations are caught
//
// TestBreachesUnraced breaks the protocol on purpose, one rule at a time. Each breach has to be
// caught within 5,000 schedules, by the check that belongs to it:
//
//	stores do not compare fences          a late holder saved over a newer token
//	the store gives a lease to everybody  more tokens issued than saved
//	no second look under the lease        a new token although the stored one was good
//	refusals are not by value             a new token although the stored one was good
//	an unknown outcome shortens nothing   a token was handed out that WeChat refuses
//	no probe                              a new token although the stored one was good
//	readers wait for a renewal            a reader waited while a live token existed
//	answers from a verdict, the breaker   an error although the store has had a live
//	or a failure, without a look          newer token
//	sleeps when the store is back         an error that the store does not answer
//	a read-only store counts as healthy   no token although nothing but saving fails
//	leases are not extended               two processes fetch at once
//	leases are extended after their end   an attempt that had ended took the lease again
//
// # What is not covered
//
// More than three processes or nine steps; a store's clock that is set back; a corrupt
// store. Other tests hold these: store/storetest, the tests of each engine, and
// test/chaos with real processes.
package proof
