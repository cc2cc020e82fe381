// Package sabotage breaks rules on purpose, so that each detector of the tests can
// be seen to find what it is there to find. Where a rule is enforced, a hook asks
// [On] whether to leave it out.
//
// Only a build with the tag "faults" has the hooks: without it On is a constant
// that the compiler leaves out together with what hangs on it.
package sabotage

// Hook names a rule to break.
type Hook string

// The hooks: what each one makes the worker do.
const (
	CommitUnsettled   Hook = "commit-unsettled"    // commit what was read, whether or not it is settled
	ReleaseEarly      Hook = "release-early"       // release the places of a change when its call begins
	DrainCommitsAll   Hook = "drain-commits-all"   // on a revoke, commit what waits as if it were settled
	CommitBack        Hook = "commit-back"         // commit one offset less, every few seconds
	LeakPlaces        Hook = "leak-places"         // never release a place
	NoLease           Hook = "no-lease"            // call without a proof of membership
	ForgetDoubts      Hook = "forget-doubts"       // take over without the last owner's doubts
	StalledLoop       Hook = "stalled-loop"        // register nothing of what was read
	EndlessDrain      Hook = "endless-drain"       // drain until a second signal comes
	NoWindow          Hook = "no-window"           // read on although the window is full
	LogRow            Hook = "log-row"             // log the columns of each change
	OlderWins         Hook = "older-wins"          // keep the older of two changes that wait together
	TwoInFlight       Hook = "two-in-flight"       // call for a user although a call is in flight
	NoConfirm         Hook = "no-confirm"          // make no confirm calls
	NoHold            Hook = "no-hold"             // go on at full rate although the destination is at fault
	NoContrast        Hook = "no-contrast"         // blame users without anybody to compare them with
	BlameNobody       Hook = "blame-nobody"        // give up nobody, whatever was shown
	TrustAttempted    Hook = "trust-attempted"     // believe that a user still has what it had, although something else was tried since
	TrustPossiblySent Hook = "trust-possibly-sent" // believe it although a former owner may have sent something else
	LettersWhileHeld  Hook = "letters-while-held"  // write dead letters while the destination is at fault
	TrustZombie       Hook = "trust-zombie"        // believe what an owner wrote after it had been replaced
	TrustLostTail     Hook = "trust-lost-tail"     // believe a state whose last records are gone
)
