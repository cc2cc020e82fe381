package browser

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"usersync/e2e"
	"usersync/sync/vendortest"
)

var pictures = flag.Bool("pictures", false, "rewrite the pictures of the status page in docs/images")

const (
	taptalk = "#taptalk .headline"
	haptik  = "#haptik .headline"
	inSync  = "Every user of these 4 partitions is in sync."
)

// TestStatusPage has a person look at a worker whose vendor goes down and comes back, in
// one tab that nobody reloads.
func TestStatusPage(t *testing.T) {
	e2e.Require(t, "chromium")
	w, browser := newWorld(t), browse(t)
	b := open(t, browser)
	b.do(chromedp.EmulateViewport(1000, 400), chromedp.Navigate(w.url))
	b.run("window.sameDocument = true")
	b.shows(taptalk, inSync)
	w.change(30, "Ann")
	b.shows("#taptalk dl", "ok: 30;")
	b.shows("#haptik dl", "ok: 30;")
	b.shows(taptalk, inSync)
	b.shows(haptik, inSync)
	b.picture("healthy")

	w.tap.SetRules(vendortest.Rule{Status: 503})
	w.change(30, "Bob")
	b.shows(taptalk, "Not every user is in sync, since ")
	b.shows(taptalk, "held: the destination fails for everyone (last: 503")
	if got := eval[string](b, "document.title"); got != "trouble · usersync" {
		t.Errorf("the title is %q", got)
	}
	b.shows(haptik, inSync)
	b.picture("trouble")

	b.keepsItsPlace()
	b.leadsToTheRunbook(w.url)

	w.tap.SetRules()
	b.shows(taptalk, inSync)
	if got := eval[string](b, "document.title"); got != "in sync · usersync" {
		t.Errorf("the title is %q", got)
	}
	if eval[bool](b, `document.getElementById("stale").offsetHeight > 0`) {
		t.Errorf("it still says %q", b.text("#stale"))
	}
	if !eval[bool](b, "window.sameDocument === true") {
		t.Error("the page was loaded anew instead of refreshed")
	}
	b.innocent(w.url)

	w.worker.Kill()
	b.shows("#stale", "The worker does not answer. This is of ")
	if !strings.Contains(b.text(taptalk), inSync) {
		t.Error("what was known last is gone")
	}
	if got := b.text("main time"); got == "" || !strings.Contains(b.text("#stale"), got) {
		t.Errorf("%q does not name the time of what is shown, %q", b.text("#stale"), got)
	}
}

// keepsItsPlace sees that where somebody reads and what somebody marks stays.
func (b *tab) keepsItsPlace() {
	b.t.Helper()
	b.run("scrollTo(0, 250)")
	b.changes()
	b.changes()
	if got := eval[float64](b, "scrollY"); got != 250 {
		b.t.Errorf("the page was at 250 and is at %v", got)
	}
	b.run(`getSelection().selectAllChildren(document.querySelector("#taptalk .headline"))`)
	b.shows("#stale", "Not refreshed while text is selected. This is of ")
	if got := eval[string](b, "getSelection().toString()"); !strings.HasPrefix(got, "Not every user") {
		b.t.Errorf("what was selected is %q now", got)
	}
	b.run("getSelection().removeAllRanges()")
}

// leadsToTheRunbook follows the link of a problem, to a page that the worker serves and
// the browser shows.
func (b *tab) leadsToTheRunbook(url string) {
	b.t.Helper()
	link := eval[string](b, `document.querySelector("#taptalk .problems a").href`)
	if want := url + "runbooks/UserSyncDestinationHeld.md"; link != want {
		b.t.Fatalf("the problem leads to %s, want %s", link, want)
	}
	other := open(b.t, b.browser)
	other.do(chromedp.Navigate(link))
	other.shows("body", "# UserSyncDestinationHeld")
}

// TestStatusPageWithoutScripts: the page loads itself anew.
func TestStatusPageWithoutScripts(t *testing.T) {
	e2e.Require(t, "chromium")
	w, browser := newWorld(t), browse(t)
	b := open(t, browser)
	b.scripts(false)
	b.do(chromedp.Navigate(w.url))
	b.shows(taptalk, inSync)
	b.changes()
	b.changes()
	b.innocent(w.url)
}

// TestStatusPageIsReadable: on a telephone without scrolling sideways, and with enough
// contrast by light and by dark.
func TestStatusPageIsReadable(t *testing.T) {
	e2e.Require(t, "chromium")
	w, browser := newWorld(t), browse(t)
	w.tap.SetRules(vendortest.Rule{Status: 503})
	w.change(30, "Ann")
	b := open(t, browser)
	b.do(chromedp.EmulateViewport(360, 740), chromedp.Navigate(w.url))
	b.shows(taptalk, "held: the destination fails for everyone")
	b.shows(haptik, inSync)
	if got := eval[float64](b, "document.documentElement.scrollWidth"); got > 360 {
		t.Errorf("the page is %v wide on a screen of 360", got)
	}
	for _, scheme := range []string{"light", "dark"} {
		b.prefers(scheme)
		if got := eval[string](b, "getComputedStyle(document.body).backgroundColor"); (got == "rgb(255, 255, 255)") != (scheme == "light") {
			t.Errorf("%s: the page is %s", scheme, got)
		}
		texts := eval[int](b, "("+contrasts+")().texts")
		if texts < 20 {
			t.Errorf("%s: only %d texts were looked at", scheme, texts)
		}
		if faint := eval[[]string](b, "("+contrasts+")().faint"); len(faint) > 0 {
			t.Errorf("%s: too faint: %s", scheme, strings.Join(faint, "; "))
		}
	}
}

// contrasts finds the texts whose contrast is below what WCAG 2.2 asks of level AA.
const contrasts = `() => {
	const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
		.map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const rgba = (color) => { const c = color.match(/[\d.]+/g).map(Number); return c.length < 4 ? [...c, 1] : c; };
	const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } };
	let texts = 0;
	const faint = [];
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim());
		if (!own || !e.checkVisibility()) continue;
		texts++;
		const [a, b] = [light(rgba(getComputedStyle(e).color)), light(behind(e))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) faint.push(e.textContent + " " + ratio.toFixed(2));
	}
	return { texts, faint };
}`

// picture rewrites a picture of the documentation, if that is asked for.
func (b *tab) picture(name string) {
	b.t.Helper()
	if !*pictures {
		return
	}
	b.do(chromedp.EmulateViewport(900, 800))
	b.prefers("light")
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile("../../docs/images/status-"+name+".png", png, 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(1000, 400))
}
