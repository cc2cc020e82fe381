package sync

import (
	"bytes"
	"encoding/json"
	"testing"
)

// asEncoded writes s as the payloads of all versions have it.
func asEncoded(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		t.Fatal(err)
	}
	return b.String()[:b.Len()-1]
}

// FuzzObjectWriter: a byte that is written in another way than before would have every
// user sent once more by the next version.
func FuzzObjectWriter(f *testing.F) {
	f.Add("", "")
	f.Add("name", "Ann <ann@example.com> & \"friends\"\\\r\n")
	f.Add("a\xed\xa0\x80b", "\xf0\x9f\x91\x8d\xf0\x9f")
	for b := range 256 {
		f.Add("name", "a"+string([]byte{byte(b)})+"z")
	}
	for _, r := range []rune{0x80, 0x2027, 0x2028, 0x2029, 0x202a, 0xfffd, 0xfffe, 0x10ffff} {
		f.Add(string(r), "a"+string(r))
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		w := newObjectWriter()
		w.text(name, value)
		w.raw(name, "null")
		w.text(value, name)
		n, v := asEncoded(t, name), asEncoded(t, value)
		if got, want := string(w.close()), "{"+n+":"+v+","+n+":null,"+v+":"+n+"}"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}
