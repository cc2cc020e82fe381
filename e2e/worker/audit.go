package worker

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Audit is what the product's audit says of every user.
type Audit struct {
	Users        int
	Destinations []struct {
		Destination string
		Counts      map[string]int                   // of users, by verdict
		Users       []struct{ User, Verdict string } // those who are not in sync
	}
	Remarks []string
}

// Audit has the product compare what is remembered with the newest rows, with what a
// worker would run with. fine says whether it found that everybody is in sync.
func (d *Deployment) Audit(t testing.TB, more Config, flags ...string) (a Audit, fine bool, err error) {
	t.Helper()
	code, out, said := d.Command(t, "audit", more, append([]string{"audit", "--json", "--limit", "0"}, flags...)...)
	if code > 1 {
		return Audit{}, false, fmt.Errorf("audit: exit code %d\n%s", code, said)
	}
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		return Audit{}, false, fmt.Errorf("audit: exit code %d, %w\n%s", code, err, said)
	}
	return a, code == 0, nil
}
