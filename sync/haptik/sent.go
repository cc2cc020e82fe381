package haptik

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sent is what a payload holds: to compare it with an echo, and to keep it from
// being taken for Haptik's own words. Somebody may be called "Token".
type sent struct {
	fields reply
	values []string // in lower case, the longest first
}

func readSent(body []byte) sent {
	s := sent{fields: parse(body)}
	add := func(v string) {
		if v != "" {
			s.values = append(s.values, strings.ToLower(v))
		}
	}
	for _, v := range s.fields {
		add(text(v))
		if entries, ok := v.(map[string]any); ok {
			for name, v := range entries {
				add(name)
				add(text(v))
			}
		}
	}
	// Longest first: a part that goes early would hide the whole.
	slices.SortFunc(s.values, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return s
}

func (s sent) text(field string) string { return text(s.fields[field]) }

// echoed reports whether the fields that Haptik echoes are those that were sent,
// as far as both sides have them.
func (s sent) echoed(body reply) bool {
	for _, field := range []string{"mobile_no", "email", "name"} {
		was, inSent := s.fields[field]
		is, inBody := body[field]
		if inSent && inBody && text(was) != text(is) {
			return false
		}
	}
	return true
}

// strip returns message in lower case without the values that were sent, where
// they stand as words of their own: the name "A" must not eat every other word.
func (s sent) strip(message string) string {
	message = strings.ToLower(message)
	for _, v := range s.values {
		message = stripOne(message, v)
	}
	return message
}

func stripOne(message, value string) string {
	first, size := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	var out strings.Builder
	done := 0 // up to here message is in out
	for from := 0; ; {
		i := strings.Index(message[from:], value)
		if i < 0 {
			break
		}
		start := from + i
		end := start + len(value)
		before, _ := utf8.DecodeLastRuneInString(message[:start])
		after, _ := utf8.DecodeRuneInString(message[end:])
		if inWord(before) && inWord(first) || inWord(last) && inWord(after) {
			from = start + size
			continue
		}
		out.WriteString(message[done:start])
		done, from = end, end
	}
	out.WriteString(message[done:])
	return out.String()
}

func inWord(r rune) bool {
	// At either end of the message there is no rune, and that counts as a space.
	return r != utf8.RuneError && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r))
}
