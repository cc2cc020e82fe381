package vendors

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"usersync/e2e"
	"usersync/e2e/process"
)

// What a person does with the command: read what it can, break a vendor, see the
// trouble in a user's history, and end it.
func TestCommand(t *testing.T) {
	p := e2e.Start(t, process.Command{Name: "vendors", Path: e2e.BuildVendors(t)})
	admin := address(t, p)
	ask := func(method, url, body string, status int, want ...string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status {
			t.Errorf("%s %s: %s, %v, want %d", method, url, resp.Status, err, status)
		}
		for _, w := range want {
			if !strings.Contains(string(answer), w) {
				t.Errorf("%s %s: %s\nlacks %s", method, url, answer, w)
			}
		}
	}
	ask("GET", admin, "", 200, "PUT  /callers/NAME", "GET  /users/ID", "/taptalk/rules")
	ask("PUT", admin+"/callers/me", "", 200, `"taptalk": "http://127.0.0.1:`, `"haptik": "http://127.0.0.1:`)
	ask("GET", admin+"/callers", "", 200, `"me": {`)
	ask("POST", admin+"/taptalk/rules", `{"name": "down", "status": 503, "latency": "1ms"}`, 204)
	ask("GET", admin+"/taptalk/rules", "", 200, `"latency":"1ms"`)
	ask("GET", admin+"/haptik/rules", "", 200, "[]")
	ask("POST", admin+"/taptalk/rules", `{"state": 503}`, 400, "state")
	ask("GET", admin+"/nobody/rules", "", 404)

	url := (&Vendors{t: t, admin: admin}).URLs("me")[TapTalk]
	ask("POST", url+"/v1/server/user/update", `{"xcUserID": "7"}`, 200, `"status":503`)
	ask("GET", admin+"/users/7", "", 200, `"haptik": {`, `"rule": "down"`, `"caller": "me"`, `"verdict": "lost"`)

	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, errors.New("still there"))
	defer cancel()
	if code, err := p.Wait(ctx); code != 0 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
}
