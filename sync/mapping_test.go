package sync

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
)

// testFields has one field of every kind, and a second text.
var testFields = []Field{
	{Name: "userID", Kind: ID, Required: true, Max: 50},
	{Name: "name", Kind: Text, Required: true, Max: 250},
	{Name: "email", Kind: Email, Max: 250},
	{Name: "phone", Kind: Phone, Max: 20},
	{Name: "photo", Kind: URL},
	{Name: "role", Kind: Text, Max: 10},
	{Name: "lang", Kind: Language},
	{Name: "custom", Kind: Object},
}

func testConfig() MappingConfig {
	return MappingConfig{
		Fields: testFields,
		Expressions: map[string]any{
			"name":   `first(full_name, trim(first_name + " " + last_name), username)`,
			"email":  "email",
			"phone":  "phone",
			"photo":  "avatar_url",
			"role":   `{"admin": "ADMIN"}[role]`,
			"lang":   "first(language, locale)",
			"custom": map[string]any{"plan": "plan", "attrs": "attrs"},
		},
		PhoneRegion: "ID",
	}
}

func testRow() map[string]any {
	return map[string]any{
		"full_name": "Ann Lee", "first_name": "x", "last_name": "x", "username": "x",
		"email": "Ann@Example.com", "phone": "08991234567",
		"avatar_url": "https://cdn.example.com/a?b=1&c=<2>", "role": "admin",
		"language": "in", "locale": nil, "plan": "gold",
		"attrs": map[string]any{"city": "Bandung", "n": json.Number("1.0")},
	}
}

func mustMap(t testing.TB, c MappingConfig) *Mapping {
	t.Helper()
	m, err := NewMapping(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// with returns the test row with columns of its own.
func with(columns map[string]any) map[string]any {
	row := testRow()
	maps.Copy(row, columns)
	return row
}

func payload(t testing.TB, m *Mapping, row map[string]any) (string, []Omission) {
	t.Helper()
	p, omissions, err := m.Payload(&Change{User: "42", Op: Upsert, Columns: ColumnsOf(row)})
	if err != nil {
		t.Fatal(err)
	}
	if p.User != "42" {
		t.Errorf("the payload is for %q", p.User)
	}
	return string(p.Body), omissions
}

func TestPayloadIsOrderedAndUnescaped(t *testing.T) {
	got, omissions := payload(t, mustMap(t, testConfig()), testRow())
	want := `{"userID":"42","name":"Ann Lee","email":"Ann@example.com","phone":"628991234567",` +
		`"photo":"https://cdn.example.com/a?b=1&c=<2>","role":"ADMIN","lang":"id",` +
		`"custom":{"attrs_city":"Bandung","attrs_n":"1.0","plan":"gold"}}`
	if got != want || len(omissions) != 0 {
		t.Errorf("got  %s %v\nwant %s", got, omissions, want)
	}
}

func TestMappingColumns(t *testing.T) {
	c := testConfig()
	c.Expressions["photo"] = nil
	want := []string{"attrs", "email", "first_name", "full_name", "language", "last_name", "locale", "phone", "plan", "role", "username"}
	if got := mustMap(t, c).Columns(); !reflect.DeepEqual(got, want) {
		t.Errorf("columns %q, want %q", got, want)
	}
}

func TestPayloadNullPolicies(t *testing.T) {
	row := with(map[string]any{
		"email": nil, "phone": "12", "avatar_url": " ", "role": "unmapped", "language": "english",
		"plan": nil, "attrs": map[string]any{"city": nil, "n": int64(7)},
	})
	omissions := []Omission{
		{"email", "null"},
		{"phone", "invalid"},
		{"photo", "null"},
		{"role", "null"},
		{"lang", "invalid"},
		{"custom.attrs", "null"},
		{"custom.plan", "null"},
	}
	for policy, want := range map[NullPolicy]string{
		"": `{"userID":"42","name":"Ann Lee","email":"","phone":"","photo":"","role":"","lang":"",` +
			`"custom":{"attrs_city":"","attrs_n":"7","plan":""}}`,
		NullEmpty: `{"userID":"42","name":"Ann Lee","email":"","phone":"","photo":"","role":"","lang":"",` +
			`"custom":{"attrs_city":"","attrs_n":"7","plan":""}}`,
		NullNull: `{"userID":"42","name":"Ann Lee","email":null,"phone":null,"photo":null,"role":null,"lang":null,` +
			`"custom":{"attrs_city":null,"attrs_n":"7","plan":null}}`,
		NullOmit: `{"userID":"42","name":"Ann Lee","custom":{"attrs_n":"7"}}`,
	} {
		c := testConfig()
		c.OnNull = policy
		got, left := payload(t, mustMap(t, c), row)
		if got != want || !reflect.DeepEqual(left, omissions) {
			t.Errorf("on_null %q:\ngot  %s\nwant %s\nomissions %v", policy, got, want, left)
		}
	}
}

// TestPayloadWithoutAColumn: that the row has no such column is told apart from a value
// that was left out of it, which an older row may have filled in.
func TestPayloadWithoutAColumn(t *testing.T) {
	missing, leftOut := Unavailable{NoColumn: true}, Unavailable{}
	for name, test := range map[string]struct {
		columns map[string]any
		want    []Omission
		code    string // of the error, instead
		partial bool
	}{
		"an optional field":             {columns: map[string]any{"avatar_url": missing}, want: []Omission{{"photo", "no_column"}}},
		"an entry of an object":         {columns: map[string]any{"plan": missing}, want: []Omission{{"custom.plan", "no_column"}}},
		"one that is not needed":        {columns: map[string]any{"username": missing}},
		"a required field":              {columns: map[string]any{"full_name": missing}, code: "no_column"},
		"left out, optional":            {columns: map[string]any{"avatar_url": leftOut}, want: []Omission{{"photo", "unavailable"}}, partial: true},
		"left out, required":            {columns: map[string]any{"full_name": leftOut}, code: "unavailable", partial: true},
		"left out, the other not there": {columns: map[string]any{"avatar_url": leftOut, "email": missing}, want: []Omission{{"email", "no_column"}, {"photo", "unavailable"}}, partial: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, omissions, err := mustMap(t, testConfig()).Payload(&Change{User: "42", Op: Upsert, Columns: ColumnsOf(with(test.columns))})
			if test.code != "" {
				wantInvalid(t, err, "name", test.code)
			} else if err != nil || !reflect.DeepEqual(omissions, test.want) {
				t.Errorf("omissions %v, error %v, want %v", omissions, err, test.want)
			}
			if got := Partial(omissions, err); got != test.partial {
				t.Errorf("partial: %v", got)
			}
		})
	}
}

func TestPayloadUnavailable(t *testing.T) {
	tests := []struct {
		name     string
		columns  map[string]any
		want     string // the fields that are missing from the payload
		code     string // of the error, instead
		omission string
		failing  string // the field named under "fail"; empty if nothing is unavailable
	}{
		{name: "a large column", columns: map[string]any{"avatar_url": Unavailable{}}, want: "photo", omission: "photo", failing: "photo"},
		{name: "inside an array", columns: map[string]any{"email": []any{Unavailable{}}}, want: "email", omission: "email", failing: "email"},
		{name: "in an expression", columns: map[string]any{"role": Unavailable{}}, want: "role", omission: "role", failing: "role"},
		{
			name:    "after the argument that decides",
			columns: map[string]any{"first_name": Unavailable{}, "last_name": Unavailable{}, "username": Unavailable{}, "locale": Unavailable{}},
		},
		{name: "before it", columns: map[string]any{"language": Unavailable{}, "locale": "de"}, want: "lang", omission: "lang", failing: "lang"},
		{name: "one entry of an object", columns: map[string]any{"plan": Unavailable{}}, want: "custom", omission: "custom.plan", failing: "custom.plan"},
		{name: "deep in an object", columns: map[string]any{"attrs": map[string]any{"a": []any{Unavailable{}}}}, want: "custom", omission: "custom.attrs", failing: "custom.attrs"},
		{name: "a required field", columns: map[string]any{"full_name": Unavailable{}}, code: "unavailable", failing: "name"},
		{name: "a later part of a required field", columns: map[string]any{"full_name": nil, "last_name": Unavailable{}}, code: "unavailable", failing: "name"},
	}
	for _, policy := range []NullPolicy{NullEmpty, NullNull, NullOmit} {
		for _, test := range tests {
			t.Run(string(policy)+" "+test.name, func(t *testing.T) {
				c := testConfig()
				c.OnNull = policy
				change := &Change{User: "42", Op: Upsert, Columns: ColumnsOf(with(test.columns))}

				p, omissions, err := mustMap(t, c).Payload(change)
				switch {
				case test.code != "":
					wantInvalid(t, err, test.failing, test.code)
				case err != nil:
					t.Error(err)
				default:
					if got := missing(t, p.Body); got != test.want {
						t.Errorf("%s: missing %q, want %q", p.Body, got, test.want)
					}
					if test.omission != "" && !reflect.DeepEqual(omissions, []Omission{{test.omission, "unavailable"}}) {
						t.Errorf("omissions %v", omissions)
					}
				}

				c.OnUnavailable = UnavailableFail
				_, _, err = mustMap(t, c).Payload(change)
				if test.failing != "" {
					wantInvalid(t, err, test.failing, "unavailable")
				} else if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// missing names the test fields that body lacks.
func missing(t *testing.T, body []byte) string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range testFields {
		if _, ok := object[f.Name]; !ok {
			names = append(names, f.Name)
		}
	}
	return strings.Join(names, " ")
}

func wantInvalid(t *testing.T, err error, field, code string) {
	t.Helper()
	if !reflect.DeepEqual(err, error(&InvalidError{Field: field, Code: code})) {
		t.Errorf("error %v, want code %s of field %s", err, code, field)
	}
}

func TestPayloadRequired(t *testing.T) {
	tests := []struct {
		name, user, expression string
		value                  any
		field, code            string
	}{
		{"no user", " ", "x", "Ann", "userID", "missing"},
		{"a long user", strings.Repeat("ü", 51), "x", "Ann", "userID", "too_long"},
		{"a user that is not UTF-8", "a\xff", "x", "Ann", "userID", "invalid"},
		{"NULL", "1", "x", nil, "name", "missing"},
		{"blank", "1", "x", " \x00\t", "name", "missing"},
		{"a map", "1", "x", map[string]any{"a": "b"}, "name", "invalid"},
		{"a failing expression", "1", "x.member", "Ann", "name", "expression"},
	}
	for _, test := range tests {
		for _, policy := range []NullPolicy{NullEmpty, NullNull, NullOmit} {
			m := mustMap(t, MappingConfig{
				Fields:      testFields,
				Expressions: map[string]any{"name": test.expression},
				OnNull:      policy,
			})
			_, _, err := m.Payload(&Change{User: test.user, Op: Upsert, Columns: ColumnsOf(map[string]any{"x": test.value})})
			t.Run(test.name, func(t *testing.T) { wantInvalid(t, err, test.field, test.code) })
		}
	}
}

// One column in, one text out, for the values that Kafka brings.
func TestPayloadValues(t *testing.T) {
	m := mustMap(t, MappingConfig{Fields: testFields, Expressions: map[string]any{"name": "x"}})
	for _, test := range []struct {
		in   any
		want string
	}{
		{int64(9007199254740993), "9007199254740993"},
		{int64(-9223372036854775808), "-9223372036854775808"},
		{uint64(18446744073709551615), "18446744073709551615"},
		{json.Number("12.50"), "12.50"},
		{json.Number("123456789012345678901234567890"), "123456789012345678901234567890"},
		{true, "true"},
		{time.Date(2026, 3, 1, 0, 0, 0, 500_000_000, time.UTC), "2026-03-01T00:00:00.5Z"},
		{"A\xff\xfen", "A\ufffdn"},
		{"👩\u200d👧 \u202e\"\\/", "👩\u200d👧 \u202e\"\\/"},
		{strings.Repeat("n", 1<<20), strings.Repeat("n", 250)},
		{strings.Repeat("👍", 251), strings.Repeat("👍", 250)},
		{strings.Repeat("e\u0301", 251), strings.Repeat("\u00e9", 250)}, // cut after composing
	} {
		got, _ := payload(t, m, map[string]any{"x": test.in})
		var body struct{ Name string }
		if err := json.Unmarshal([]byte(got), &body); err != nil || body.Name != test.want {
			t.Errorf("%.40v gives %.80q, want %.80q (%v)", test.in, body.Name, test.want, err)
		}
	}
}

// A value that is too long for its field is of no use, unless it is a text.
func TestPayloadTooLong(t *testing.T) {
	long := strings.Repeat("a", 300)
	got, left := payload(t, mustMap(t, testConfig()), with(map[string]any{
		"full_name": long, "email": long[:60] + "@" + strings.Repeat(long[:60]+".", 4) + "com",
	}))
	if !strings.Contains(got, `"name":"`+long[:250]+`","email":"",`) || !reflect.DeepEqual(left, []Omission{{"email", "invalid"}}) {
		t.Errorf("%s %v", got, left)
	}
}

func TestPayloadPhoneFormats(t *testing.T) {
	for format, want := range map[string]string{"": "628991234567", "digits": "628991234567", "e164": "+628991234567", "national": "8991234567"} {
		c := testConfig()
		c.PhoneFormat = format
		if got, _ := payload(t, mustMap(t, c), testRow()); !strings.Contains(got, `"phone":"`+want+`"`) {
			t.Errorf("%q: %s, want %s", format, got, want)
		}
	}
}

func TestNewMappingNamesEveryProblem(t *testing.T) {
	c := testConfig()
	c.Expressions = map[string]any{
		"userID": "id",
		"email":  "emial(",
		"phone":  42,
		"photo":  "",
		"nick":   "username",
		"lang":   "iso(language)",
		"custom": map[string]any{"a-b": "x", "c": "now()", "d": 7},
	}
	c.OnNull, c.OnUnavailable, c.PhoneRegion, c.PhoneFormat = "drop", "guess", "Indonesia", "pretty"
	_, err := NewMapping(c)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"userID: is the user ID and cannot be mapped",
		"name: is required and has no expression",
		"email: unexpected token EOF",
		"phone: must be an expression in text",
		"photo: unexpected token EOF",
		"nick: the destination has no such field",
		"lang: unknown function iso",
		"custom.a-b: a name has",
		"custom.c: unknown function now",
		"custom.d: must be an expression in text",
		`on_null: "drop"`, `on_unavailable: "guess"`, `phone_region: "Indonesia"`, `phone_format: "pretty"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}

	c = testConfig()
	c.Expressions["custom"] = "plan"
	if _, err := NewMapping(c); err == nil || !strings.Contains(err.Error(), "custom: must map names") {
		t.Errorf("an expression for an object: %v", err)
	}
}

// Fields that take a value alike share it, and each has it by its own name; one that takes
// it in another way has its own.
func TestFieldsAlike(t *testing.T) {
	source := map[string]any{}
	fields := []Field{
		{Name: "thumbnail", Kind: URL},
		{Name: "photo", Kind: URL},
		{Name: "text", Kind: Text},
		{Name: "short", Kind: Text, Max: 5},
		{Name: "longer", Kind: Text, Max: 8},
		{Name: "number", Kind: Phone},
	}
	for _, f := range fields {
		source[f.Name] = "avatar_url"
	}
	for column, want := range map[string]string{
		"https://cdn.example.com/a b.png": `{"thumbnail":"","photo":"","text":"https://cdn.example.com/a b.png","short":"https","longer":"https://","number":""}`,
		"https://cdn.example.com/a.png":   `{"thumbnail":"https://cdn.example.com/a.png","photo":"https://cdn.example.com/a.png","text":"https://cdn.example.com/a.png","short":"https","longer":"https://","number":""}`,
		"+6281200012345":                  `{"thumbnail":"","photo":"","text":"+6281200012345","short":"+6281","longer":"+6281200","number":"6281200012345"}`,
	} {
		m, err := NewMapping(MappingConfig{Fields: fields, Expressions: source})
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := m.Payload(&Change{User: "1", Op: Upsert, Columns: ColumnsOf(map[string]any{"avatar_url": column})})
		if err != nil || string(p.Body) != want {
			t.Errorf("%s: got %s, %v\nwant %s", column, p.Body, err, want)
		}
	}
	// What one may do without, the next may need.
	required := []Field{{Name: "thumbnail", Kind: URL}, {Name: "photo", Kind: URL, Required: true}}
	m, err := NewMapping(MappingConfig{Fields: required, Expressions: map[string]any{"thumbnail": "avatar_url", "photo": "avatar_url"}})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = m.Payload(&Change{User: "1", Op: Upsert, Columns: ColumnsOf(map[string]any{"avatar_url": "none"})})
	if e, ok := errors.AsType[*InvalidError](err); !ok || e.Field != "photo" || e.Code != "invalid" {
		t.Errorf("got %v, want photo to be invalid", err)
	}
}
