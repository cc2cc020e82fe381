package sync

import (
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// The longest values, in bytes, that are looked into: parsers of third parties
// may take more than linear time, and nothing genuine is longer.
const (
	maxEmail    = 320 // 64 before the @ and 255 behind it, RFC 5321
	maxURL      = 8192
	maxLanguage = 100
)

// cleanText makes s what a form would accept: valid UTF-8 in composed form (NFC),
// on one line, without control characters or surplus white space.
func cleanText(s string) string {
	if isClean(s) { // as most are
		return s
	}
	return cleaned(s)
}

func cleaned(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r): // before the controls: a tab or line break parts words
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, s)
	// NFC last: a control character may have parted a letter from its accent.
	return norm.NFC.String(strings.Join(strings.Fields(s), " "))
}

// isClean reports whether s is ASCII of which nothing has to go.
func isClean(s string) bool {
	space := true // is what comes before; at the start, a space is as surplus as behind one
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f || space && s[i] == ' ' {
			return false
		}
		space = s[i] == ' '
	}
	return !space
}

// cut returns the first n runes of s, without the white space that the cut may
// have left at the end.
func cut(s string, n int) string {
	if len(s) <= n { // every rune has a byte
		return s
	}
	for i := range s {
		if n == 0 {
			return strings.TrimRightFunc(s[:i], unicode.IsSpace)
		}
		n--
	}
	return s
}

func longer(s string, runes int) bool {
	return len(s) > runes && utf8.RuneCountInString(s) > runes
}

// normalizeEmail accepts a bare address at a domain with a dot, and lowers the
// domain only: the part before the @ may be case-sensitive.
func normalizeEmail(s string) (string, bool) {
	if len(s) > maxEmail {
		return "", false
	}
	// ParseAddress also takes "Ann <a@example.com>", quoted local parts, comments:
	// whatever does not come back as it was is not a bare address.
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s {
		return "", false
	}
	local, domain, _ := strings.Cut(s, "@")
	if !strings.Contains(domain, ".") || strings.HasPrefix(domain, "[") {
		return "", false
	}
	return local + "@" + strings.ToLower(domain), true
}

// signatures are the query parameters by which object stores and content
// networks sign a URL (S3, Google, Azure, CloudFront).
var signatures = []string{"x-amz-signature", "x-goog-signature", "signature", "sig"}

// normalizeURL accepts an address that anybody can open: absolute, http or
// https, on a public host, without a credential in it. A signed URL is one, and
// it would have expired before the vendor shows it.
func normalizeURL(s string) (string, bool) {
	if len(s) > maxURL {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil || strings.Contains(s, " ") || u.User != nil || !publicHost(u.Hostname()) {
		return "", false
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	if u.RawQuery != "" && !unsigned(u.RawQuery) {
		return "", false
	}
	return u.String(), true
}

// unsigned reports whether query is well formed and has no signature.
func unsigned(query string) bool {
	values, err := url.ParseQuery(query)
	if err != nil {
		return false
	}
	for name := range values {
		for _, signature := range signatures {
			if strings.EqualFold(name, signature) {
				return false
			}
		}
	}
	return true
}

func publicHost(host string) bool {
	// An address has colons or ends in a digit, and to find that a name is none makes an error.
	if strings.Contains(host, ":") || strings.TrimRight(host, "0123456789") != host {
		if ip, err := netip.ParseAddr(host); err == nil {
			return ip.IsGlobalUnicast() && !ip.IsPrivate()
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, internal := range []string{".local", ".localhost", ".internal"} {
		if strings.HasSuffix(host, internal) {
			return false
		}
	}
	return strings.Contains(host, ".")
}

// normalizeLanguage turns a language tag or a POSIX locale into an ISO 639-1
// code. A language without a two-letter code has none.
func normalizeLanguage(s string) (string, bool) {
	if len(s) > maxLanguage {
		return "", false
	}
	if i := strings.IndexAny(s, ".@"); i >= 0 { // en_US.UTF-8, de_DE@euro
		s = s[:i]
	}
	tag, err := language.Parse(s)
	if err != nil {
		return "", false
	}
	// The base of "und" is a guess, "en", with low confidence.
	base, confidence := tag.Base()
	code := base.String()
	if confidence < language.High || len(code) != 2 {
		return "", false
	}
	return code, true
}
