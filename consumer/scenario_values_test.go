package consumer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	usync "usersync/sync"
	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

// shapes are the forms in which Debezium says that it does not know a value.
var shapes = map[string]string{
	"text":         `"` + unavailable + `"`,
	"array":        `["` + unavailable + `"]`,
	"bytes":        `"` + base64.StdEncoding.EncodeToString([]byte(unavailable)) + `"`,
	"object":       `{"k":"` + unavailable + `"}`,
	"among others": `["a","` + unavailable + `"]`,
}

// bios are where a column that is often unavailable goes.
var bios = map[string]map[string]any{
	destTaptalk: {"fullName": "full_name", "username": "bio"},
	destHaptik:  {"name": "full_name", "custom_data": map[string]any{"bio": "bio"}},
}

// startBios starts a worker whose destinations get the column bio.
func (b *bubble) startBios(edit func(*usync.MappingConfig)) *worker {
	b.t.Helper()
	return b.start(mapped(b.t, destTaptalk, bios[destTaptalk], edit), mapped(b.t, destHaptik, bios[destHaptik], edit))
}

// bio is what a payload or a vendor says of the column: "" is empty, "-" is
// absent, "null" is null.
func bio(dest string, fields map[string]any) string {
	v, ok := fields["username"]
	if dest == destHaptik {
		var custom map[string]any
		if custom, ok = fields["custom_data"].(map[string]any); ok {
			v, ok = custom["bio"]
		}
	}
	switch s, isText := v.(string); {
	case !ok:
		return "-"
	case !isText:
		return fmt.Sprint(map[any]string{nil: "null"}[v])
	default:
		return s
	}
}

// sent is the last payload of a user, and no payload of it has a placeholder.
func (b *bubble) sent(dest, user string) map[string]any {
	b.t.Helper()
	var last map[string]any
	for _, body := range b.bodies(dest, user) {
		for _, shape := range []string{unavailable, strings.Trim(shapes["bytes"], `"`)} {
			if strings.Contains(body, shape) {
				b.t.Errorf("%s: a placeholder was sent for user %s: %s", dest, user, body)
			}
		}
		last = nil
		if err := json.Unmarshal([]byte(body), &last); err != nil {
			b.t.Errorf("%s: a body for user %s is not JSON: %v", dest, user, err)
		}
	}
	return last
}

// vendorHas is the column bio as a vendor has it.
func (b *bubble) vendorHas(dest, user string) string {
	if dest == destHaptik {
		return bio(dest, b.hap.Current(user))
	}
	return bio(dest, b.tap.Current(user))
}

func (b *bubble) merge(on bool) {
	b.tap.Set(func(k *taptalktest.Knobs) { k.Merge = on })
	b.hap.Set(func(k *haptiktest.Knobs) { k.Merge = on })
}

const known = `,"bio":"known"`

// TestUnavailableValueAlone updates a delivered user with a value that is not
// known, and nothing to take it from: it is left out, and a vendor that merges
// keeps what it has.
func TestUnavailableValueAlone(t *testing.T) {
	for mode, merge := range map[string]bool{"merge": true, "replace": false} {
		t.Run(mode, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				b.merge(merge)
				w := b.startBios(nil)
				users := map[string]string{}
				for shape, value := range shapes {
					user := fmt.Sprint(len(users) + 1)
					users[user] = shape
					b.row(user, name(1), known)
					time.Sleep(5 * time.Second) // delivered, and nothing of it waits
					b.row(user, name(2), `,"bio":`+value)
				}
				b.settles(time.Minute)
				for user, shape := range users {
					for _, dest := range both {
						if got := bio(dest, b.sent(dest, user)); got != "-" {
							b.t.Errorf("%s, %s: sent as %q", dest, shape, got)
						}
						want := map[bool]string{true: "known", false: "-"}[merge]
						if got := b.vendorHas(dest, user); got != want {
							b.t.Errorf("%s, %s: the vendor has %q, want %q", dest, shape, got, want)
						}
					}
				}
				for dest, field := range map[string]string{destTaptalk: "username", destHaptik: "custom_data.bio"} {
					if got := w.metric("fields_omitted_total", "destination", dest, "field", field, "reason", "unavailable"); got != float64(len(shapes)) {
						b.t.Errorf("%s: %v omitted fields are counted, want %d", dest, got, len(shapes))
					}
				}
			})
		})
	}
}

// TestUnavailableValueFails gives a change up rather than send a part of it.
func TestUnavailableValueFails(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.startBios(func(c *usync.MappingConfig) { c.OnUnavailable = usync.UnavailableFail })
		for i, value := range []string{shapes["text"], shapes["array"], shapes["bytes"]} {
			b.row(fmt.Sprint(i+1), name(1), `,"bio":`+value)
		}
		b.row("9", name(2), "") // has no such column at all
		b.row("10", name(3), known)
		b.settles(time.Minute)
		for dest, letters := range b.lettersOf(8) {
			field := map[string]string{destTaptalk: "username", destHaptik: "custom_data.bio"}[dest]
			for c, l := range letters {
				want := "unavailable (field " + field + ")"
				if c.offset == 3 { // user 9
					want = "no_column (field " + field + ")"
				}
				if h := headersOf(l); h["usersync.reason"] != "invalid_payload" || h["usersync.error"] != want || h["usersync.attempts"] != "0" {
					b.t.Errorf("%s: the dead letter for %v has the headers %v", dest, c, h)
				}
			}
			if b.sent(dest, "1") != nil || b.has(dest, "10") != name(3) {
				b.t.Errorf("%s: user 1 was sent %v, user 10 has %q", dest, b.sent(dest, "1"), b.has(dest, "10"))
			}
		}
	})
}

// fillings are what may have become of the change before one whose bio is not
// known, and the bio that is sent then.
var fillings = []struct {
	name  string
	setup func(b *bubble)
	want  string
}{
	{"superseded while it waited", func(b *bubble) {
		b.row("1", name(1), known)
		b.row("1", name(2), `,"bio":`+shapes["array"])
		b.startBios(nil)
	}, "known"},
	{"superseded twice", func(b *bubble) {
		b.row("1", name(1), known)
		b.row("1", name(2), `,"bio":`+shapes["text"])
		b.row("1", name(3), `,"bio":`+shapes["bytes"])
		b.startBios(nil)
	}, "known"},
	{"failed", func(b *bubble) {
		b.tap.SetRules(vendortest.Rule{Status: 503, For: 20 * time.Second})
		b.hap.SetRules(vendortest.Rule{Status: 503, For: 20 * time.Second})
		b.row("1", name(1), known)
		b.startBios(nil)
		time.Sleep(10 * time.Second)
		b.row("1", name(2), `,"bio":`+shapes["text"])
	}, "known"},
	{"in flight, and delivered", func(b *bubble) {
		b.latency(5 * time.Second)
		b.row("1", name(1), known)
		b.startBios(nil)
		time.Sleep(3 * time.Second)
		b.row("1", name(2), `,"bio":`+shapes["bytes"])
	}, "known"},
	{"in flight, and without an answer", func(b *bubble) {
		b.tap.SetRules(vendortest.Rule{Answer: vendortest.Hang, For: 2 * time.Second})
		b.hap.SetRules(vendortest.Rule{Answer: vendortest.Hang, For: 2 * time.Second})
		b.row("1", name(1), known)
		b.startBios(nil)
		time.Sleep(5 * time.Second)
		b.row("1", name(2), `,"bio":`+shapes["text"])
	}, "known"},
	{"delivered, while one before it may still land", func(b *bubble) {
		b.tap.SetRules(vendortest.Rule{Answer: vendortest.Hang, Last: 1})
		b.hap.SetRules(vendortest.Rule{Answer: vendortest.Hang, Last: 1})
		b.row("1", name(1), `,"bio":"older"`)
		b.startBios(nil)
		time.Sleep(5 * time.Second)
		b.row("1", name(2), known)
		time.Sleep(25 * time.Second)
		b.row("1", name(3), `,"bio":`+shapes["text"])
	}, "known"},
	{"before, in the record itself", func(b *bubble) {
		b.startBios(nil)
		b.rows["1"] = name(2)
		b.send("1", keyOf("1"), fmt.Appendf(nil, `{"before":{"id":1,"full_name":"x","bio":"known"},"after":{"id":1,"full_name":%q,"bio":%s},"op":"u"}`,
			name(2), shapes["text"]), name(2))
	}, "known"},
	{"deleted in between", func(b *bubble) {
		b.row("1", name(1), known)
		b.delete("1")
		b.row("1", name(2), `,"bio":`+shapes["text"])
		b.startBios(nil)
	}, "-"},
	{"NULL since", func(b *bubble) {
		b.row("1", name(1), known)
		b.row("1", name(2), `,"bio":null`)
		b.row("1", name(3), `,"bio":`+shapes["text"])
		b.startBios(nil)
	}, ""},
}

// TestUnavailableValueIsFilledIn takes a value that is not known from the change
// before it, whatever had become of that.
func TestUnavailableValueIsFilledIn(t *testing.T) {
	for _, c := range fillings {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				c.setup(b)
				b.settles(3 * time.Minute)
				for _, dest := range both {
					if got := bio(dest, b.sent(dest, "1")); got != c.want {
						b.t.Errorf("%s: sent as %q, want %q", dest, got, c.want)
					}
				}
				b.deadLetters(0)
			})
		})
	}
}

// TestNull sends NULL, and a blank and an invalid value like it, as the policy says.
func TestNull(t *testing.T) {
	for policy, want := range map[usync.NullPolicy]string{usync.NullEmpty: "", usync.NullNull: "null", usync.NullOmit: "-"} {
		t.Run(string(policy), func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				b.merge(true)
				w := b.startBios(func(c *usync.MappingConfig) { c.OnNull = policy })
				values := []string{`null`, `"  "`, `{"not":{"a":"text"}}`}
				for i, value := range values {
					user := fmt.Sprint(i + 1)
					b.row(user, name(1), known)
					time.Sleep(5 * time.Second)
					b.row(user, name(2), `,"bio":`+value)
				}
				b.settles(time.Minute)
				for i := range values[:2] {
					user := fmt.Sprint(i + 1)
					for _, dest := range both {
						if got := bio(dest, b.sent(dest, user)); got != want {
							b.t.Errorf("%s, %s: sent as %q, want %q", dest, values[i], got, want)
						}
						if got := b.vendorHas(dest, user); policy == usync.NullOmit && got != "known" {
							b.t.Errorf("%s, %s: the vendor has %q", dest, values[i], got)
						}
					}
				}
				if got := bio(destTaptalk, b.sent(destTaptalk, "3")); got != want {
					b.t.Errorf("an invalid value was sent as %q, want %q", got, want)
				}
				for reason, n := range map[string]float64{"null": 2, "invalid": 1} {
					if got := w.metric("fields_omitted_total", "destination", destTaptalk, "field", "username", "reason", reason); got != n {
						b.t.Errorf("%v fields are counted as %s, want %v", got, reason, n)
					}
				}
				b.deadLetters(0)
			})
		})
	}
}
