package pipeline

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"usersync/e2e/vendors"
)

// Row is a row of the table of users; NULL is "".
type Row struct{ ID, Email, fullName, firstName, lastName, phone, username, avatar, language, bio string }

// Rows returns all rows, as they are in one look.
func Rows(ctx context.Context, db *pgxpool.Pool) ([]Row, error) {
	found, err := db.Query(ctx, `select id::text, coalesce(email, ''), coalesce(full_name, ''), coalesce(first_name, ''),
		coalesce(last_name, ''), coalesce(phone, ''), coalesce(username, ''), coalesce(avatar_url, ''),
		coalesce(language, ''), coalesce(bio, '') from users`)
	if err != nil {
		return nil, fmt.Errorf("read the table: %w", err)
	}
	return pgx.CollectRows(found, func(r pgx.CollectableRow) (v Row, err error) {
		return v, r.Scan(&v.ID, &v.Email, &v.fullName, &v.firstName, &v.lastName, &v.phone, &v.username, &v.avatar, &v.language, &v.bio)
	})
}

// Sent returns what a destination must hold of a row, by docs/mapping.md and by
// nothing that the worker uses for it.
func (r *Row) Sent(destination string) map[string]any {
	name := r.fullName
	if name == "" {
		name = r.firstName + " " + r.lastName
	}
	name = strings.Join(strings.Fields(name), " ")
	box, host, _ := strings.Cut(r.Email, "@")
	email := ""
	if host != "" {
		email = box + "@" + strings.ToLower(host)
	}
	phone := "" // what is not international is none
	if strings.HasPrefix(r.phone, "+") {
		phone = strings.NewReplacer("+", "", " ", "", "-", "").Replace(r.phone)
	}
	if destination == vendors.TapTalk {
		return map[string]any{
			"xcUserID": r.ID, "fullName": name, "email": email, "phone": phone, "username": r.username,
			"photoThumbnailURL": r.avatar, "photoFullsizeURL": r.avatar,
		}
	}
	language, _, _ := strings.Cut(strings.ReplaceAll(r.language, "_", "-"), "-")
	return map[string]any{
		"auth_id": r.ID, "name": name, "email": email, "mobile_no": phone, "language_code": language,
		"custom_data": map[string]any{"bio": strings.TrimSpace(r.bio)},
	}
}
