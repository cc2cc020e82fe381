package browser

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"usersync/e2e"
	"usersync/e2e/worker"
)

// browse starts a Chromium for the test, which is ended with it.
func browse(t *testing.T) context.Context {
	t.Helper()
	e2e.Require(t, "chromium")
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.DisableGPU,
		chromedp.NoSandbox, // which root has not, and a container often not either
		chromedp.Flag("disable-dev-shm-usage", true))...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab is one of a browser. It notes what the page complains of and asks for.
type tab struct {
	t            *testing.T
	browser, ctx context.Context

	mu        sync.Mutex
	complains []string
	asks      []string
}

func open(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &tab{t: t, browser: browser, ctx: ctx}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return // the tab was closed
			}
			b.mu.Lock()
			b.complains = append(b.complains, m.String())
			b.mu.Unlock()
		}
	}()
	err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok {
			b.mu.Lock()
			b.asks = append(b.asks, e.Request.URL)
			b.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// innocent fails the test if the page has complained of anything, or asked anybody but
// the worker.
func (b *tab) innocent(url string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complains) > 0 {
		b.t.Errorf("the console says: %s", strings.Join(b.complains, "\n"))
	}
	if len(b.asks) == 0 {
		b.t.Error("no request was seen, not even that for the page")
	}
	for _, asked := range b.asks {
		if asked != url && !strings.HasPrefix(asked, "data:") {
			b.t.Errorf("the page has asked for %s", asked)
		}
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// run evaluates an expression whose value does not matter.
func (b *tab) run(expression string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](expression))
}

// eval evaluates an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// text returns what is shown of the first element, "" if there is none.
func (b *tab) text(selector string) string {
	b.t.Helper()
	// While a page loads there is nothing to evaluate in.
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("`+selector+`")?.innerText ?? ""`))
	if err != nil && b.ctx.Err() != nil {
		b.t.Fatal(err)
	}
	return text
}

// shows waits until an element shows a text that begins or goes on like that.
func (b *tab) shows(selector, want string) {
	b.t.Helper()
	last := ""
	defer func() {
		if b.t.Failed() {
			b.t.Logf("%s: %q", selector, last)
		}
	}()
	worker.Until(b.t, limit, selector+" shows "+want, func() bool {
		last = b.text(selector)
		return strings.Contains(last, want)
	})
}

// changes waits until the page is of another time than now.
func (b *tab) changes() {
	const selector = "main time"
	b.t.Helper()
	before := b.text(selector)
	worker.Until(b.t, limit, selector+" changes", func() bool {
		now := b.text(selector)
		return now != "" && now != before
	})
}

// prefers sets what the person has chosen: "light" or "dark".
func (b *tab) prefers(scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// scripts allows them or not.
func (b *tab) scripts(allowed bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !allowed}); err != nil {
		b.t.Fatal(err)
	}
}
