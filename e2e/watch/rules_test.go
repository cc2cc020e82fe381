package watch

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A misspelt name makes an alert that never fires, and nothing else would tell.
func TestRulesAskForWhatThereIs(t *testing.T) {
	all := known(t)
	for _, file := range []string{"recording.yaml", "alerts.yaml"} {
		for _, r := range load(t, file) {
			for _, name := range all.unknown(r.Expr) {
				t.Errorf("%s%s: nobody exposes %s", r.Alert, r.Record, name)
			}
		}
	}
	for _, wrong := range []string{
		`rate(usersync_atempts_total[5m])`, `usersync_lane_state{reason="refusd"}`,
		`sum by (job) (usersync_attempts_total{verdict=~"failed|refusd"})`, `usersync_lane_state:max`,
	} {
		if all.unknown(wrong) == nil {
			t.Errorf("%s counts as fine", wrong)
		}
	}
}

var (
	grouping = regexp.MustCompile(`\b(by|on)\s*\(([^)]*)\)`)
	// An aggregation without by drops all labels.
	bare = regexp.MustCompile(`\b(sum|min|max|avg|count|group)\s*\(`)
)

// Several deployments may be watched by one Prometheus: what adds up two of them, or
// compares one with another, is about neither.
func TestRulesKeepDeploymentsApart(t *testing.T) {
	for _, file := range []string{"recording.yaml", "alerts.yaml"} {
		for _, r := range load(t, file) {
			for _, by := range grouping.FindAllStringSubmatch(r.Expr, -1) {
				if !strings.HasPrefix(by[2], "namespace, job, release") {
					t.Errorf("%s%s: %s does not begin with namespace, job and release", r.Alert, r.Record, by[0])
				}
			}
			if loose := bare.FindString(r.Expr); loose != "" {
				t.Errorf("%s%s: %s...) drops namespace, job and release", r.Alert, r.Record, loose)
			}
		}
	}
}

func TestAlertsSayWhatToDo(t *testing.T) {
	for _, r := range load(t, "alerts.yaml") {
		if !strings.HasPrefix(r.Alert, "UserSync") {
			t.Errorf("%s is not named for usersync", r.Alert)
		}
		if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
			t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
		}
		if want := "docs/runbooks/" + r.Alert + ".md"; r.Annotations["runbook_url"] != want {
			t.Errorf("%s: its runbook is %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if r.Annotations["summary"] == "" || strings.Contains(r.Annotations["summary"], "\n") {
			t.Errorf("%s: a summary is one line", r.Alert)
		}
		about := "{{ $labels.destination }}"
		if r.Alert == "UserSyncDown" || r.Alert == "UserSyncRestarting" { // of no destination
			about = "{{ $labels.job }}"
		}
		for _, want := range []string{about, "{{ $labels.namespace }}", "First: "} {
			if !strings.Contains(r.Annotations["description"], want) {
				t.Errorf("%s: its description has no %q", r.Alert, want)
			}
		}
	}
}

func TestEveryAlertHasARunbook(t *testing.T) {
	pages := texts(t, runbooks+"UserSync*.md")
	for _, r := range load(t, "alerts.yaml") {
		page, ok := pages[r.Alert+".md"]
		if !ok {
			t.Errorf("%s has no runbook", r.Alert)
			continue
		}
		at := 0
		for _, part := range []string{"# " + r.Alert, "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"} {
			next := strings.Index(page[at:], part+"\n")
			if next < 0 {
				t.Errorf("%s.md: no %q, or not in its place", r.Alert, part)
			}
			at += max(next, 0)
		}
	}
	for name := range pages {
		if !slices.ContainsFunc(load(t, "alerts.yaml"), func(r rule) bool { return r.Alert+".md" == name }) {
			t.Errorf("%s is about no alert", name)
		}
	}
}

var (
	queries = regexp.MustCompile("(?s)```promql\n(.*?)```")
	links   = regexp.MustCompile(`\]\((\w+\.md)[)#]`)
)

var (
	greps    = regexp.MustCompile(`logs \| grep (?:-E )?'([^']*)'`)
	messages = regexp.MustCompile(`\b[lL]og\.(?:Debug|Info|Warn|Error)\("([^"]*)"`)
)

// What a runbook looks for in the log, somebody must have written there.
func TestRunbooksLookForWhatIsLogged(t *testing.T) {
	var logged strings.Builder
	for _, source := range texts(t, root+"consumer/*.go") {
		for _, m := range messages.FindAllStringSubmatch(source, -1) {
			logged.WriteString(m[1] + "\n")
		}
	}
	looked := 0
	for name, page := range texts(t, runbooks+"*.md") {
		for _, grep := range greps.FindAllStringSubmatch(page, -1) {
			for phrase := range strings.SplitSeq(grep[1], "|") {
				looked++
				if !strings.Contains(logged.String(), phrase) {
					t.Errorf("%s: nobody logs %q", name, phrase)
				}
			}
		}
	}
	if looked < 20 {
		t.Errorf("only %d phrases were found in runbooks", looked)
	}
}

// Who looks at a runbook has no time for a query that returns nothing.
func TestRunbooksAskForWhatThereIs(t *testing.T) {
	all, pages := known(t), texts(t, runbooks+"*.md")
	asked := 0
	for name, page := range pages {
		for _, block := range queries.FindAllStringSubmatch(page, -1) {
			for query := range strings.Lines(block[1]) {
				asked++
				for _, wrong := range all.unknown(query) {
					t.Errorf("%s: nobody exposes %s", name, wrong)
				}
			}
		}
		for _, link := range links.FindAllStringSubmatch(page, -1) {
			if _, ok := pages[link[1]]; !ok {
				t.Errorf("%s: there is no %s", name, link[1])
			}
		}
	}
	if asked < len(pages) {
		t.Errorf("%d queries in %d runbooks", asked, len(pages))
	}
}
