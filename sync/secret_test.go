package sync

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretRead(t *testing.T) {
	file := func(content string) string {
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, c := range map[string]struct {
		s    Secret
		want string // "": an error
	}{
		"value":         {Secret{Value: "v\n"}, "v\n"},
		"file":          {Secret{File: file("f")}, "f"},
		"newline":       {Secret{File: file("f\n")}, "f"},
		"crlf":          {Secret{File: file("f\r\n")}, "f"},
		"one only":      {Secret{File: file("f\n\n")}, "f\n"},
		"file wins":     {Secret{Value: "v", File: file("f")}, "f"},
		"empty file":    {Secret{File: file("\n")}, ""},
		"missing file":  {Secret{File: filepath.Join(t.TempDir(), "no")}, ""},
		"file, not set": {Secret{Value: "v", File: file("")}, ""},
		"not set":       {Secret{}, ""},
	} {
		got, err := c.s.Read()
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), c.s.File) {
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	type config struct{ Token Secret }
	c := config{Secret{Value: "planted", File: "planted"}}
	var out bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&out, format+"\n", c)
		fmt.Fprintf(&out, format+"\n", &c)
		fmt.Fprintf(&out, format+"\n", c.Token)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("m", "secret", c.Token, "config", c)
	}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	if strings.Contains(out.String(), "planted") || strings.Contains(out.String(), "706c616e") {
		t.Errorf("a secret was printed:\n%s", &out)
	}
	if !strings.Contains(out.String(), "[secret]") {
		t.Error("nothing says that a secret was left out")
	}
}
