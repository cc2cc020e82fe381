package cdc_test

import (
	"strings"
	"unicode"

	"usersync/e2e/worker"
)

// record is what a destination holds of a user.
type record = map[string]any

// want returns what a destination must be given of a row, whose text is in composed
// Unicode, by docs/mapping.md and by nothing that the worker uses for it: nil if it
// cannot be given. It knows no more of that page than the rows need. What becomes of
// a column that the table does not have is not in it.
func want(destination, id string, row map[string]any) record {
	given := record{}
	give := func(field, column string, read func(string) string) {
		if value, ok := row[column]; ok {
			text, _ := value.(string) // or NULL
			given[field] = read(line(text))
		}
	}
	name := text(row, "full_name")
	if name == "" {
		name = line(text(row, "first_name") + " " + text(row, "last_name"))
	}
	give("email", "email", email)
	if destination == worker.TapTalk {
		if name == "" || len([]rune(id)) > 50 {
			return nil
		}
		given["xcUserID"], given["fullName"] = id, head(name, 250)
		give("phone", "phone", phone)
		give("username", "username", func(s string) string {
			if len([]rune(s)) > 100 {
				return ""
			}
			return s
		})
		give("photoThumbnailURL", "avatar_url", address)
		give("photoFullsizeURL", "avatar_url", address)
		give("userRoleCode", "role", func(s string) string { return s })
		return given
	}
	if name == "" {
		name = text(row, "username")
	}
	if name == "" {
		name = "Guest User"
	}
	given["auth_id"], given["name"] = id, head(name, 250)
	give("mobile_no", "phone", phone)
	give("language_code", "language", language)
	given["custom_data"] = record{"bio": head(text(row, "bio"), 500)}
	return given
}

// text returns a column as one line, "" for NULL.
func text(row map[string]any, column string) string {
	s, _ := row[column].(string)
	return line(s)
}

// line is s without surplus white space and without control characters.
func line(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cc, r) {
			return -1
		}
		return r
	}, s)
}

func head(s string, runes int) string {
	all := []rune(s)
	return strings.TrimSpace(string(all[:min(runes, len(all))]))
}

func email(s string) string {
	box, domain, _ := strings.Cut(s, "@")
	if domain == "" {
		return ""
	}
	return box + "@" + strings.ToLower(domain)
}

func phone(s string) string {
	if !strings.HasPrefix(s, "+") {
		return ""
	}
	return strings.NewReplacer("+", "", " ", "", "-", "").Replace(s)
}

func address(s string) string {
	if !strings.HasPrefix(s, "https://") {
		return ""
	}
	return s
}

func language(s string) string {
	code, _, _ := strings.Cut(strings.ReplaceAll(s, "_", "-"), "-")
	if len(code) != 2 {
		return ""
	}
	return code
}
