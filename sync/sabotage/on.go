//go:build faults

package sabotage

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Variable is the environment variable with the hooks that are on, separated by
// commas. A test may set it at any time.
const Variable = "USERSYNC_FAULTS"

// All are all hooks.
var All = []Hook{
	CommitUnsettled, ReleaseEarly, DrainCommitsAll, CommitBack, LeakPlaces, NoLease, ForgetDoubts, StalledLoop,
	EndlessDrain, NoWindow, LogRow, OlderWins, TwoInFlight, NoConfirm, NoHold, NoContrast, BlameNobody, LettersWhileHeld,
	TrustAttempted, TrustPossiblySent, TrustZombie, TrustLostTail,
}

// A hook that does not exist would break nothing, and the test that asks for it
// would be content.
func init() {
	for _, name := range names() {
		if !slices.Contains(All, Hook(name)) {
			panic(fmt.Sprintf("%s: no hook is called %q", Variable, name))
		}
	}
}

// On reports whether a rule is to be broken. It may be called from any goroutine.
func On(h Hook) bool { return slices.Contains(names(), string(h)) }

func names() []string {
	value := os.Getenv(Variable)
	if value == "" {
		return nil
	}
	return strings.Split(value, ",")
}
