package sync

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// drawValue draws a column's value. Texts favour what the fields look for.
func drawValue(depth int) *rapid.Generator[any] {
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"", " ", "Ann", "a@b.co", "A@B", "08991234567", "00628991234567", "https://a.b/c", "admin", "en_US", "tl"}),
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.IntRange(0, 2000), func(n int) string { return strings.Repeat("é👍 ", n) }),
	)
	choices := []*rapid.Generator[any]{
		rapid.Just(any(nil)),
		rapid.Just(any(Unavailable{})),
		text.AsAny(),
		rapid.Bool().AsAny(),
		rapid.Int64().AsAny(),
		rapid.Uint64().AsAny(),
		rapid.SampledFrom([]any{json.Number("1.0"), json.Number("-9e99"), json.Number("123456789012345678901")}),
		rapid.Just(any(time.Unix(1e9, 0))),
	}
	if depth > 0 {
		element := rapid.Deferred(func() *rapid.Generator[any] { return drawValue(depth - 1) })
		choices = append(choices,
			rapid.SliceOfN(element, 0, 4).AsAny(),
			rapid.MapOfN(rapid.SampledFrom([]string{"a", "b_c", "b", "c", "city", "x-y", ""}), element, 0, 4).AsAny())
	}
	return rapid.OneOf(choices...)
}

func drawRow(t *rapid.T) map[string]any {
	row := map[string]any{}
	for _, name := range []string{
		"full_name", "first_name", "last_name", "username", "email", "phone",
		"avatar_url", "role", "language", "locale", "plan", "attrs",
	} {
		if rapid.IntRange(0, 9).Draw(t, name+" exists") > 0 {
			row[name] = drawValue(3).Draw(t, name)
		}
	}
	// Most rows have a name: without it there is no payload to look at.
	if rapid.IntRange(0, 3).Draw(t, "named") > 0 {
		row["full_name"] = "Ann"
	}
	return row
}

func drawMapping(t *rapid.T, onUnavailable UnavailablePolicy) *Mapping {
	c := testConfig()
	c.OnUnavailable = onUnavailable
	c.OnNull = rapid.SampledFrom([]NullPolicy{NullEmpty, NullNull, NullOmit}).Draw(t, "on_null")
	m, err := NewMapping(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// checkPayload holds for every row, whatever is in it.
func checkPayload(t interface{ Fatalf(string, ...any) }, m *Mapping, c *Change) map[string]json.RawMessage {
	p, omissions, err := m.Payload(c)
	again, omittedAgain, errAgain := m.Payload(c)
	if !bytes.Equal(p.Body, again.Body) || !reflect.DeepEqual(omissions, omittedAgain) || !reflect.DeepEqual(err, errAgain) {
		t.Fatalf("the same change gives %s and %s", p.Body, again.Body)
	}
	if err != nil {
		if reflect.TypeOf(err) != reflect.TypeFor[*InvalidError]() || p.Body != nil {
			t.Fatalf("error %T with body %s", err, p.Body)
		}
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(p.Body, &object); err != nil || !utf8.Valid(p.Body) {
		t.Fatalf("%q: %v", p.Body, err)
	}
	var id, name string
	if json.Unmarshal(object["userID"], &id) != nil || id != c.User {
		t.Fatalf("user %q became %q", c.User, id)
	}
	if json.Unmarshal(object["name"], &name) != nil || name == "" || utf8.RuneCountInString(name) > 250 {
		t.Fatalf("name %q", name)
	}
	if len(object["custom"]) > maxObjectBytes {
		t.Fatalf("the object has %d bytes", len(object["custom"]))
	}
	for _, o := range omissions {
		if _, ok := object[o.Field]; ok && (o.Reason == omittedUnavailable || o.Reason == omittedNoColumn || m.onNull == NullOmit && o.Field != "custom") {
			t.Fatalf("%v, but it is in %s", o, p.Body)
		}
	}
	return object
}

func TestPayloadProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := rapid.SampledFrom([]UnavailablePolicy{UnavailableOmit, UnavailableFail}).Draw(t, "on_unavailable")
		c := &Change{User: rapid.StringN(1, 60, -1).Draw(t, "user"), Op: Upsert, Columns: ColumnsOf(drawRow(t))}
		checkPayload(t, drawMapping(t, policy), c)
	})
}

// What is not known must not matter: whatever the unavailable columns really
// hold, each field that is sent is the one that the full row would have sent.
func TestPayloadDoesNotDependOnUnavailableColumns(t *testing.T) {
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		m, row := drawMapping(t, UnavailableOmit), drawRow(t)
		partial := map[string]any{}
		for name, v := range row {
			if partial[name] = v; rapid.IntRange(0, 3).Draw(t, name+" is left out") == 0 {
				partial[name] = Unavailable{}
			}
		}
		got := checkPayload(t, m, &Change{User: "42", Op: Upsert, Columns: ColumnsOf(partial)})
		full := checkPayload(t, m, &Change{User: "42", Op: Upsert, Columns: ColumnsOf(row)})
		if got == nil || full == nil {
			return
		}
		for name, v := range got {
			compared++
			if !bytes.Equal(v, full[name]) {
				t.Fatalf("%s is %s, but the full row has %s", name, v, full[name])
			}
		}
	})
	if compared == 0 {
		t.Error("no field was compared")
	}
}

func FuzzPayload(f *testing.F) {
	f.Add("42", "Ann", "ann@example.com", "08991234567", "https://a.b/c?d=e", "in", `{"a":{"b":[1,null]}}`, byte(0))
	f.Add("\xff", "\x00", "a@b", "+", "http://[::1]:99999", "x-", `[{}]`, byte(255))
	f.Add("é", "e\u0301", "<a@b.c>", "00", "//", "und", `"\ud800"`, byte(8))
	var mappings []*Mapping
	for _, policy := range []NullPolicy{NullEmpty, NullNull, NullOmit} {
		c := testConfig()
		c.OnNull = policy
		mappings = append(mappings, mustMap(f, c))
	}
	f.Fuzz(func(t *testing.T, user, name, email, phone, photo, lang, custom string, leftOut byte) {
		var attrs any
		d := json.NewDecoder(strings.NewReader(custom))
		d.UseNumber()
		if d.Decode(&attrs) != nil {
			attrs = custom
		}
		row := map[string]any{
			"full_name": name, "first_name": photo, "last_name": nil, "username": user, "email": email,
			"phone": phone, "avatar_url": photo, "role": lang, "language": lang, "locale": custom,
			"plan": name, "attrs": attrs,
		}
		for i, name := range []string{"full_name", "first_name", "email", "phone", "avatar_url", "language", "plan", "attrs"} {
			if leftOut&(1<<i) != 0 {
				row[name] = Unavailable{}
			}
		}
		for _, m := range mappings {
			checkPayload(t, m, &Change{User: user, Op: Upsert, Columns: ColumnsOf(row)})
		}
	})
}

func BenchmarkPayload(b *testing.B) {
	m := mustMap(b, testConfig())
	c := &Change{User: "42", Op: Upsert, Columns: ColumnsOf(testRow())}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := m.Payload(c); err != nil {
			b.Fatal(err)
		}
	}
}
