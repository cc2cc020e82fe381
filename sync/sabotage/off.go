//go:build !faults

package sabotage

// On reports whether a rule is to be broken: never.
func On(Hook) bool { return false }
