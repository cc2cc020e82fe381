package app

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
)

// What a problem says of itself ends with a page that has more, which the worker serves.
func TestStatusLinksToRunbooks(t *testing.T) {
	pages := map[string]bool{}
	for _, tt := range statusStates {
		synctest.Test(t, func(t *testing.T) {
			w := newStatusTest()
			tt.setup(w)
			page := w.page(t)
			links := regexp.MustCompile(`<a href="runbooks/(\w+\.md)">`).FindAllStringSubmatch(page, -1)
			if items := strings.Count(page, "<li>"); len(links) != items {
				t.Errorf("%s: %d links for %d problems", tt.name, len(links), items)
			}
			for _, link := range links {
				pages[link[1]] = true
			}
		})
	}
	if len(pages) < 12 {
		t.Errorf("only %d runbooks are linked to: %v", len(pages), pages)
	}
	h := newTestAdmin().handler()
	for page := range pages {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/runbooks/"+page, nil))
		if want := "# " + strings.TrimSuffix(page, ".md") + "\n"; rec.Code != http.StatusOK || !strings.HasPrefix(rec.Body.String(), want) {
			t.Errorf("%s: %d %.60s", page, rec.Code, rec.Body)
		}
		if got := rec.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("%s is %s, which a browser may not show", page, got)
		}
	}
	for _, other := range []string{"UserSyncNothing.md", "runbooks.go", "..%2Frunbooks%2FREADME.md"} {
		rec := httptest.NewRecorder()
		if h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/runbooks/"+other, nil)); rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d", other, rec.Code)
		}
	}
}
