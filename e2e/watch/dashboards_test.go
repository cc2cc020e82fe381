package watch

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// board is what matters of a dashboard, as Grafana imports it.
type board struct {
	Title         string
	UID           string
	SchemaVersion int
	Panels        []panel
	Templating    struct{ List []variable }
	Annotations   struct{ List []struct{ Name, Expr string } }
}

type variable struct {
	Name, Type string
	Definition string
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Repeat      string
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Panels      []panel
	Targets     []struct{ RefID, Expr, LegendFormat string }
}

// boards returns the dashboards by the names of their files.
func boards(t *testing.T) map[string]board {
	t.Helper()
	all := map[string]board{}
	for name, text := range texts(t, dashboards+"*.json") {
		var b board
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if b.UID+".json" != name {
			t.Errorf("%s has the UID %s", name, b.UID)
		}
		all[name] = b
	}
	return all
}

// each calls f with every panel, those in folded rows too.
func (b board) each(f func(panel)) {
	for _, p := range b.Panels {
		f(p)
		for _, inner := range p.Panels {
			f(inner)
		}
	}
}

func TestPanelsAreComplete(t *testing.T) {
	for name, b := range boards(t) {
		if b.SchemaVersion < 39 {
			t.Errorf("%s: schema %d", name, b.SchemaVersion)
		}
		var repeated int
		ids := map[int]string{}
		b.each(func(p panel) {
			if other, taken := ids[p.ID]; taken {
				t.Errorf("%s: %q and %q have the ID %d", name, other, p.Title, p.ID)
			}
			ids[p.ID] = p.Title
			if p.Type == "row" {
				if p.Repeat == "destination" {
					repeated++
				}
				return
			}
			if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
				t.Errorf("%s: panel %d %q lacks a title, a description, a unit or a query", name, p.ID, p.Title)
			}
			refs := map[string]bool{}
			for _, q := range p.Targets {
				if q.RefID == "" || refs[q.RefID] {
					t.Errorf("%s: %q: two queries are %q", name, p.Title, q.RefID)
				}
				refs[q.RefID] = true
			}
		})
		if repeated == 0 {
			t.Errorf("%s: no row is repeated for each destination", name)
		}
	}
}

// Grafana moves panels that overlap, and not to where anybody wants them.
func TestPanelsDoNotOverlap(t *testing.T) {
	for name, b := range boards(t) {
		taken := map[[2]int]string{}
		check := func(p panel) {
			g := p.GridPos
			if g.X < 0 || g.X+g.W > 24 || g.W <= 0 || g.H <= 0 {
				t.Errorf("%s: %q is not on the grid: %+v", name, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok {
						t.Errorf("%s: %q lies upon %q", name, p.Title, other)
						return
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
		b.each(check)
	}
}

var used = regexp.MustCompile(`\$\{?(\w+)`)

// A query without the variables shows another deployment than the one that was chosen.
func TestQueriesHaveTheVariables(t *testing.T) {
	all := known(t)
	for name, b := range boards(t) {
		defined := []string{"__rate_interval", "__value"}
		for _, v := range b.Templating.List {
			defined = append(defined, v.Name)
		}
		for _, want := range []string{"datasource", "namespace", "job", "pod", "destination", "runbooks"} {
			if !slices.Contains(defined, want) {
				t.Errorf("%s has no variable %s", name, want)
			}
		}
		check := func(where, expr string) {
			for _, wrong := range all.unknown(expr) {
				t.Errorf("%s: %s: nobody exposes %s", name, where, wrong)
			}
			found := selector.FindAllStringSubmatch(expr, -1)
			if len(found) == 0 {
				t.Errorf("%s: %s: no series is chosen: %s", name, where, expr)
			}
			for _, s := range found {
				want := []string{`namespace=~"$namespace"`}
				if s[1] != "ALERTS" {
					want = append(want, `job=~"$job"`)
				}
				if strings.HasPrefix(s[1], "usersync_") && s[1] != "usersync_build_info" || strings.Contains(s[1], "_destination") {
					want = append(want, `destination=~"$destination"`)
				}
				for _, matcher := range want {
					if !strings.Contains(s[2], matcher) {
						t.Errorf("%s: %s: %s has no %s", name, where, s[1], matcher)
					}
				}
			}
			for _, v := range used.FindAllStringSubmatch(expr, -1) {
				if !slices.Contains(defined, v[1]) {
					t.Errorf("%s: %s: nothing defines $%s", name, where, v[1])
				}
			}
		}
		b.each(func(p panel) {
			for _, q := range p.Targets {
				check(p.Title, q.Expr)
			}
		})
		if len(b.Annotations.List) < 2 {
			t.Errorf("%s: deploys and rebalances are not marked", name)
		}
		for _, a := range b.Annotations.List {
			check(a.Name, a.Expr)
		}
	}
}

// Where several deployments are chosen, a line is of one of them and says of which.
func TestPanelsKeepDeploymentsApart(t *testing.T) {
	by := regexp.MustCompile(`\bby\s*\(([^)]*)\)`)
	for name, b := range boards(t) {
		b.each(func(p panel) {
			for _, q := range p.Targets {
				for _, labels := range by.FindAllStringSubmatch(q.Expr, -1) {
					for _, want := range []string{"namespace", "release"} {
						if !slices.Contains(strings.Split(labels[1], ", "), want) {
							t.Errorf("%s: %q adds deployments up: %s", name, p.Title, labels[0])
						}
					}
				}
				if loose := bare.FindString(q.Expr); loose != "" {
					t.Errorf("%s: %q adds deployments up: %s...)", name, p.Title, loose)
				}
				if p.Type != "table" && !strings.Contains(q.LegendFormat, "{{namespace}} {{release}}") {
					t.Errorf("%s: %q does not say of which deployment a line is: %s", name, p.Title, q.LegendFormat)
				}
			}
		})
	}
}

var page = regexp.MustCompile(`\$\{runbooks\}/(\w+\.md)`)

func TestDashboardsLinkToRunbooks(t *testing.T) {
	pages := texts(t, runbooks+"*.md")
	for name, text := range texts(t, dashboards+"*.json") {
		found := page.FindAllStringSubmatch(text, -1)
		if len(found) < 2 {
			t.Errorf("%s links to no runbook", name)
		}
		for _, link := range found {
			if _, ok := pages[link[1]]; !ok {
				t.Errorf("%s: there is no runbook %s", name, link[1])
			}
		}
	}
}

// What a worker exposes and nobody can see helps nobody.
func TestEveryMetricIsShown(t *testing.T) {
	var shown strings.Builder
	for _, b := range boards(t) {
		b.each(func(p panel) {
			for _, q := range p.Targets {
				shown.WriteString(q.Expr + "\n")
			}
		})
	}
	all := shown.String()
	for line := range strings.Lines(texts(t, root+"metrics/testdata/series.golden")["series.golden"]) {
		metric, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(metric, "usersync_") && !regexp.MustCompile(`\b`+metric+`(_bucket)?\{`).MatchString(all) &&
			!recorded(t, metric) {
			t.Errorf("%s is on no dashboard", metric)
		}
	}
}

// recorded reports whether a recording rule is made of the metric.
func recorded(t *testing.T, metric string) bool {
	t.Helper()
	return slices.ContainsFunc(load(t, "recording.yaml"), func(r rule) bool {
		return regexp.MustCompile(`\b` + metric + `\b`).MatchString(r.Expr)
	})
}
