package sync

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"
)

func TestCleanText(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"  Ann \t\n Lee\u00a0", "Ann Lee"},
		{"\u3000Ann\u2003Lee", "Ann Lee"},
		{"A\x00n\x1bn\u0085Lee", "Ann Lee"},
		{"\x00\x07 \u200a", ""},
		{"Jose\u0301", "Jos\u00e9"},
		{"Jose\x00\u0301", "Jos\u00e9"},
		{"A\xffn", "A\ufffdn"},
		{"👩\u200d👧 家族", "👩\u200d👧 家族"}, // the joiner is no control character
		{"<b>&", "<b>&"},
	}
	for _, test := range tests {
		if got := cleanText(test.in); got != test.want {
			t.Errorf("cleanText(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

func TestCleanTextIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		once := cleanText(s)
		if !utf8.ValidString(once) || cleanText(once) != once {
			t.Fatalf("cleanText(%q) = %q, and again %q", s, once, cleanText(once))
		}
	})
}

// everyText yields each text of at most n of the parts.
func everyText(n int, parts ...string) iter.Seq[string] {
	return func(yield func(string) bool) {
		var from func(s string, n int) bool
		from = func(s string, n int) bool {
			return yield(s) && (n == 0 || !slices.ContainsFunc(parts, func(part string) bool { return !from(s+part, n-1) }))
		}
		from("", n)
	}
}

// What is clean at a glance is what cleaning would leave as it is.
func TestCleanTextAtAGlance(t *testing.T) {
	atAGlance := 0
	for s := range everyText(5, "a", "~", " ", "\t", "\x00", "\x7f", "é", "\u0301", "\xff") {
		if got, want := cleanText(s), cleaned(s); got != want {
			t.Errorf("cleanText(%q) = %q, want %q", s, got, want)
		}
		if isClean(s) {
			atAGlance++
		}
	}
	if atAGlance < 100 {
		t.Errorf("only %d texts are clean", atAGlance)
	}
}

func TestCut(t *testing.T) {
	tests := []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"},
		{"abc", 2, "ab"},
		{"äöü", 3, "äöü"},
		{"äöü", 2, "äö"},
		{"👍👍", 1, "👍"},
		{"a b", 2, "a"},
		{"abc", 0, ""},
		{"", 0, ""},
	}
	for _, test := range tests {
		if got := cut(test.in, test.n); got != test.want {
			t.Errorf("cut(%q, %d) = %q, want %q", test.in, test.n, got, test.want)
		}
	}
}

// normalized is a table of inputs; the empty result stands for invalid.
type normalized map[string]string

func (n normalized) check(t *testing.T, f func(string) (string, bool)) {
	t.Helper()
	for in, want := range n {
		if got, ok := f(in); got != want || ok != (want != "") {
			t.Errorf("%q gives %q, %t; want %q", in, got, ok, want)
		}
	}
}

func TestNormalizeEmail(t *testing.T) {
	normalized{
		"Ann.Lee@Example.COM":        "Ann.Lee@example.com",
		"a+b@sub.example.co.id":      "a+b@sub.example.co.id",
		"a@b":                        "",
		"Ann <ann@example.com>":      "",
		"<ann@example.com>":          "",
		`"a b"@example.com`:          "",
		"a@[10.0.0.1]":               "",
		"a@example.com, b@example.c": "",
		"a@example.com (Ann)":        "",
		"a@@example.com":             "",
		"a@.com":                     "",
		"a@example.":                 "",
		"ann":                        "",
		strings.Repeat("a", 1<<20) + "@example.com": "",
	}.check(t, normalizeEmail)
}

func TestNormalizeURL(t *testing.T) {
	normalized{
		"https://cdn.example.com/a.png?w=1&h=2":             "https://cdn.example.com/a.png?w=1&h=2",
		"HTTP://example.com":                                "http://example.com",
		"https://8.8.8.8/a":                                 "https://8.8.8.8/a",
		"/a.png":                                            "",
		"//example.com/a.png":                               "",
		"ftp://example.com/a":                               "",
		"javascript:alert(1)":                               "",
		"data:image/png;base64,AAAA":                        "",
		"https://ann:pw@example.com/a":                      "",
		"https://ann@example.com/a":                         "",
		"https://":                                          "",
		"https://:443/":                                     "",
		"https://example.com/a b":                           "",
		"https://localhost/a":                               "",
		"https://avatars/a":                                 "",
		"https://minio.storage.internal/a":                  "",
		"https://printer.local./a":                          "",
		"http://127.0.0.1/a":                                "",
		"http://10.1.2.3/a":                                 "",
		"http://169.254.169.254/latest":                     "",
		"http://[::1]/a":                                    "",
		"http://[fd00::1]/a":                                "",
		"https://b.s3.amazonaws.com/a?X-Amz-Signature=0":    "",
		"https://a.blob.core.windows.net/a?sv=1&sig=0":      "",
		"https://example.com/a?%zz":                         "",
		"https://example.com/" + strings.Repeat("a", 1<<20): "",
	}.check(t, normalizeURL)
}

func TestNormalizeLanguage(t *testing.T) {
	normalized{
		"en": "en", "EN": "en", "en-US": "en", "en_US": "en", "en_US.UTF-8": "en", "de_DE@euro": "de",
		"in": "id", "iw": "he", "hin": "hi", "ind": "id", "zh-Hans": "zh", "pt-BR": "pt",
		"": "", "und": "", "english": "", "root": "", "C": "", "POSIX": "", "xx": "",
		"tl": "", "fil": "", "cmn": "", "x-foo": "", "mul": "",
		"en" + strings.Repeat("-us", 1<<18): "", "en-x" + strings.Repeat("-a", 100): "",
	}.check(t, normalizeLanguage)
}

func TestNormalizePhone(t *testing.T) {
	tests := []struct{ in, region, format, want string }{
		{"08991234567", "ID", "digits", "628991234567"},
		{"08991234567", "ID", "e164", "+628991234567"},
		{"08991234567", "ID", "national", "8991234567"},
		{"+62 899-1234-567", "", "digits", "628991234567"},
		{"00628991234567", "ID", "digits", "628991234567"},
		{" 00 62 899 1234567", "ID", "digits", "628991234567"},
		{"00628991234567", "", "digits", "628991234567"},
		{"628991234567", "ID", "digits", "628991234567"},
		{"9876543210", "IN", "national", "9876543210"},
		{"+919876543210", "ID", "digits", "919876543210"}, // its own country code wins
		{"08991234567", "", "digits", ""},
		{"12", "ID", "digits", ""},
		{"+6200000", "ID", "digits", ""},
		{"call me", "ID", "digits", ""},
		{"+", "ID", "digits", ""},
		{strings.Repeat("1", 1000), "ID", "digits", ""},
	}
	for _, test := range tests {
		got, ok := normalizePhone(test.in, test.region, test.format)
		if got != test.want || ok != (test.want != "") {
			t.Errorf("%.20q in %q as %s gives %q, %t; want %q", test.in, test.region, test.format, got, ok, test.want)
		}
	}
}

// A number that is valid as it is written is what the library finds in it: every kind of
// every region, with any digit in the first places, and with all beginnings that a number of
// a country may have.
func TestNumbersAsWritten(t *testing.T) {
	taken := 0
	check := func(s string) {
		n := asWritten(s)
		if n == nil || !phonenumbers.IsValidNumber(n) {
			return
		}
		taken++
		want, err := phonenumbers.Parse(s, "")
		if err != nil || phonenumbers.Format(want, phonenumbers.E164) != s || phonenumbers.GetNationalSignificantNumber(n) != phonenumbers.GetNationalSignificantNumber(want) {
			t.Errorf("%s is taken for %v, and is %v, %v", s, n, want, err)
		}
	}
	around := func(code int, example *phonenumbers.PhoneNumber) {
		if example == nil {
			return
		}
		number := phonenumbers.GetNationalSignificantNumber(example)
		for i := range min(3, len(number)) {
			for digit := range 10 {
				check(fmt.Sprintf("+%d%s%d%s", code, number[:i], digit, number[i+1:]))
			}
		}
	}
	for region := range phonenumbers.GetSupportedRegions() {
		code := phonenumbers.GetCountryCodeForRegion(region)
		for kind := phonenumbers.FIXED_LINE; kind <= phonenumbers.VOICEMAIL; kind++ {
			around(code, phonenumbers.GetExampleNumberForType(region, kind))
		}
		if phonenumbers.GetRegionCodeForCountryCode(code) != region {
			continue // another region's number has all beginnings
		}
		// Where what is dialled before a number could be the beginning of one, all of three.
		places, end := 2, 100
		if trunk := phonenumbers.GetNddPrefixForRegion(region, true); trunk != "" && trunk != "0" {
			places, end = 3, 1000
		}
		number := phonenumbers.GetNationalSignificantNumber(phonenumbers.GetExampleNumber(region))
		for first := end / 10; first < end; first++ {
			for more := range 2 {
				check(fmt.Sprintf("+%d%d%s", code, first, (number + "1")[places:len(number)+more]))
			}
		}
	}
	for code := range phonenumbers.GetSupportedGlobalNetworkCallingCodes() {
		around(code, phonenumbers.GetExampleNumberForNonGeoEntity(code))
	}
	if taken < 10_000 {
		t.Errorf("only %d numbers were taken as they are written", taken)
	}
	for _, s := range []string{"", "+", "62812000123", "+0062812000123", "+62-812000123", "+62 812000123", "+-62812000123", "+6a812000123", "+999812000123", "+62812000123;ext=1", "+6208991234567", "+3758101234567", "+78005551234"} {
		if n := asWritten(s); n != nil {
			t.Errorf("%q is taken for %v", s, n)
		}
	}
}
