package sync

import (
	"strconv"
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
	n, e164 := asWritten(s), s
	if n == nil || !phonenumbers.IsValidNumber(n) {
		var err error
		if n, err = phonenumbers.Parse(s, region); err != nil || !phonenumbers.IsValidNumber(n) {
			return "", false
		}
		e164 = phonenumbers.Format(n, phonenumbers.E164)
	}
	switch format {
	case phoneNational:
		return phonenumbers.GetNationalSignificantNumber(n), true
	case phoneE164:
		return e164, true
	default:
		return strings.TrimPrefix(e164, "+"), true
	}
}

// asWritten returns the number that a plus and digits are, and nil for anything else. There
// is nothing in them for Parse to look for, such as an extension, and it looks with
// expressions that take twice as long as judging the number. Left to Parse are a trunk
// prefix, which it may take away, and zeros at the beginning, which a PhoneNumber counts in
// a field of their own.
func asWritten(s string) *phonenumbers.PhoneNumber {
	digits, ok := strings.CutPrefix(s, "+")
	// No country code is the beginning of another one, begins with a zero or is longer.
	for n := 1; ok && n <= 3 && n < len(digits); n++ {
		code, err := strconv.ParseUint(digits[:n], 10, 31)
		if err != nil || digits[0] == '0' {
			return nil
		}
		region := phonenumbers.GetRegionCodeForCountryCode(int(code))
		if region == phonenumbers.UNKNOWN_REGION {
			continue
		}
		number, err := strconv.ParseUint(digits[n:], 10, 64)
		trunk := phonenumbers.GetNddPrefixForRegion(region, true)
		if err != nil || digits[n] == '0' || trunk != "" && strings.HasPrefix(digits[n:], trunk) {
			return nil
		}
		return &phonenumbers.PhoneNumber{CountryCode: new(int32(code)), NationalNumber: &number}
	}
	return nil
}
