package sync

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// The forms in which a destination may want its phone numbers.
const (
	phoneDigits   = "digits"   // country code and number: 628991234567
	phoneE164     = "e164"     // the same with a plus: +628991234567
	phoneNational = "national" // without country code and trunk prefix: 8991234567
)

// normalizePhone reads s as it would be dialled in region (an ISO 3166 code, or
// empty when numbers carry their country code) and returns it in one of the
// forms above. A number that cannot exist is not returned.
func normalizePhone(s, region, format string) (string, bool) {
	// 00 is how most of the world dials the plus, but the library knows it only
	// for regions that do: Indonesia is not one, and it would misread the number.
	if rest, ok := strings.CutPrefix(strings.TrimSpace(s), "00"); ok {
		s = "+" + rest
	}
	n, err := phonenumbers.Parse(s, region)
	if err != nil || !phonenumbers.IsValidNumber(n) {
		return "", false
	}
	switch format {
	case phoneNational:
		return phonenumbers.GetNationalSignificantNumber(n), true
	case phoneE164:
		return phonenumbers.Format(n, phonenumbers.E164), true
	default:
		return strings.TrimPrefix(phonenumbers.Format(n, phonenumbers.E164), "+"), true
	}
}
