package links_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"usersync/e2e/links"
)

// TestNames: by a name, net/http reaches the link of that name and no other, with all
// that the link does to connections.
func TestNames(t *testing.T) {
	all := map[string]*links.Link{}
	for _, name := range []string{"one.test", "two.test"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
		t.Cleanup(server.Close)
		l, err := links.Open(t.Context(), strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		all[name] = l
	}
	names, err := links.NewNames(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(names.Close)
	proxy, err := url.Parse(names.URL())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy)}
	defer transport.CloseIdleConnections()
	get := func(name string) (body string, err error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+name+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
	reaches := func(name string) {
		t.Helper()
		if body, err := get(name); body != name || err != nil {
			t.Errorf("%s answers %q, %v", name, body, err)
		}
	}
	reaches("one.test")
	reaches("two.test")
	all["one.test"].Cut()
	transport.CloseIdleConnections()
	if body, err := get("one.test"); err == nil {
		t.Errorf("a link that is cut answers %q", body)
	}
	reaches("two.test")
	heal(t, all["one.test"])
	reaches("one.test")
	all["one.test"].Reset()
	reaches("one.test")
	if body, err := get("three.test"); err == nil {
		t.Errorf("a name that nobody has answers %q", body)
	}
}

// TestNamesRefuses: what is no request for a name is refused, and has nobody wait.
func TestNamesRefuses(t *testing.T) {
	names, err := links.NewNames(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]string{
		"\x05\x01\x00" + "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50": "\x05\x00\x05\x05", // by an address
		"\x05\x01\x00" + "\x05\x02\x00\x03\x01a\x00\x50":            "\x05\x00\x05\x05", // to listen
		"\x05\x01": "", // and then nothing
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(names.URL(), "socks5://"))
		if err != nil {
			t.Fatal(err)
		}
		deadline(t, conn, limit)
		send(t, conn, request)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		receive(t, conn, want)
		conn.Close()
	}
	names.Close() // and nothing is left that runs
}
