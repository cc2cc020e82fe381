package watch

import (
	"cmp"
	"flag"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"usersync/e2e/prometheus"
)

var pictures = flag.String("pictures", "", "after TestWatch, draw the dashboards' panels into this directory, from what was measured")

// A cell of Grafana's grid, in pixels, and how many lines a panel shows at most.
const (
	cellW, cellH = 56, 26
	most         = 8
)

var colours = []string{"#3274d9", "#e0752d", "#299c46", "#b877d9", "#c4162a", "#37872d", "#8f6b00", "#5794f2"}

// sketch draws the panels of a dashboard as an SVG: the same queries, titles and places as
// Grafana has, over the time of the test. The namespaces are those where something
// happened that the eye can follow.
type sketch struct {
	*world
	svg          strings.Builder
	destinations []string
	namespaces   string
	from, to     time.Time
	y            int
}

// draw writes the picture of each dashboard.
func (w *world) draw(dir string) {
	w.t.Helper()
	for name, b := range boards(w.t) {
		s := &sketch{world: w, destinations: []string{taptalk}, namespaces: "calm|letters|outage|paused|slow|state", from: w.began, to: time.Now()}
		if b.UID == "usersync-operators" {
			s.destinations = []string{taptalk, haptik}
		}
		file := filepath.Join(dir, strings.TrimSuffix(name, ".json")+".svg")
		if err := os.WriteFile(file, []byte(s.board(b)), 0o644); err != nil {
			w.t.Error(err)
		}
	}
}

// board draws row after row, those that are repeated once for each destination.
func (s *sketch) board(b board) string {
	for i := 0; i < len(b.Panels); {
		row := b.Panels[i]
		members := row.Panels
		for i++; i < len(b.Panels) && b.Panels[i].Type != "row"; i++ {
			members = append(members, b.Panels[i])
		}
		times := []string{".*"}
		if row.Repeat != "" {
			times = s.destinations
		}
		for _, destination := range times {
			s.row(strings.ReplaceAll(row.Title, "$destination", destination), destination, members)
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+
		"\n<rect width=\"100%%\" height=\"100%%\" fill=\"#f4f5f5\"/>\n%s</svg>\n", 24*cellW, s.y, s.svg.String())
}

func (s *sketch) row(title, destination string, members []panel) {
	fmt.Fprintf(&s.svg, "<text x=\"8\" y=\"%d\" font-size=\"15\" font-weight=\"bold\">%s</text>\n", s.y+19, html.EscapeString(title))
	s.y += cellH + 4
	if len(members) == 0 {
		return
	}
	top, end := members[0].GridPos.Y, s.y
	for _, p := range members {
		x, y := p.GridPos.X*cellW, s.y+(p.GridPos.Y-top)*cellH
		s.panel(p, destination, x, y, p.GridPos.W*cellW-6, p.GridPos.H*cellH-6)
		end = max(end, y+p.GridPos.H*cellH)
	}
	s.y = end
}

// line is a series as a panel shows it.
type line struct {
	name   string
	points []prometheus.Point
}

func (s *sketch) panel(p panel, destination string, x, y, w, h int) {
	fmt.Fprintf(&s.svg, "<g transform=\"translate(%d %d)\"><rect width=\"%d\" height=\"%d\" fill=\"#fff\" stroke=\"#dcdfe3\"/>"+
		"<text x=\"6\" y=\"15\" font-weight=\"bold\">%s</text>\n", x+3, y, w, h, html.EscapeString(p.Title))
	var lines []line
	for _, q := range p.Targets {
		expr := strings.NewReplacer("$namespace", s.namespaces, "$destination", destination).Replace(q.Expr)
		for _, series := range s.run(expr) {
			lines = append(lines, line{legend(q.LegendFormat, series.Labels), series.Points})
		}
	}
	if p.Type != "table" { // those on which something happened first
		slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(b.highest(), a.highest()) })
	}
	lines = lines[:min(len(lines), most)]
	switch p.Type {
	case "stat", "table":
		s.numbers(p, lines, h)
	case "state-timeline":
		s.bands(lines, w)
	default:
		s.lines(p, lines, w, h)
	}
	s.svg.WriteString("</g>\n")
}

var variableInLegend = regexp.MustCompile(`\{\{(\w+)\}\}`)

func legend(format string, labels map[string]string) string {
	name := variableInLegend.ReplaceAllStringFunc(format, func(m string) string { return labels[strings.Trim(m, "{}")] })
	if ns := labels["namespace"]; ns != "" && !strings.Contains(format, "namespace") {
		name += " " + ns
	}
	return strings.TrimSpace(name + " " + labels["alertname"] + labels["version"])
}

// numbers writes what each series was at its highest: at the end all is well again. A
// table has no values, only names.
func (s *sketch) numbers(p panel, lines []line, h int) {
	for i, l := range lines {
		y := 32 + 13*i
		if y > h {
			return
		}
		value := ""
		if p.Type == "stat" {
			value = "up to " + written(l.highest(), p.FieldConfig.Defaults.Unit)
		}
		fmt.Fprintf(&s.svg, "<text x=\"8\" y=\"%d\">%s</text><text x=\"170\" y=\"%d\" font-weight=\"bold\">%s</text>\n",
			y, html.EscapeString(l.name), y, value)
	}
}

// highest is the highest number of a series.
func (l line) highest() float64 {
	highest := 0.0
	for _, p := range l.points {
		if !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
			highest = max(highest, p.Value)
		}
	}
	return highest
}

// at is where a time is on a line that is w long.
func (s *sketch) at(t time.Time, w int) int {
	return int(float64(w) * t.Sub(s.from).Seconds() / s.to.Sub(s.from).Seconds())
}

// bands draws when each series was not 0.
func (s *sketch) bands(lines []line, w int) {
	for i, l := range lines {
		y := 26 + 20*i
		fmt.Fprintf(&s.svg, "<text x=\"6\" y=\"%d\">%s</text>", y+11, html.EscapeString(l.name))
		for _, p := range l.points {
			if p.Value != 0 {
				fmt.Fprintf(&s.svg, "<rect x=\"%d\" y=\"%d\" width=\"4\" height=\"14\" fill=\"%s\"/>", 150+s.at(p.Time, w-160), y, colours[i])
			}
		}
		s.svg.WriteString("\n")
	}
}

// lines draws each series, between 0 and the highest of all.
func (s *sketch) lines(p panel, lines []line, w, h int) {
	const left, right, top, bottom = 52, 8, 24, 32
	highest := 0.0
	for _, l := range lines {
		highest = max(highest, l.highest())
	}
	if highest == 0 {
		highest = 1
	}
	unit := p.FieldConfig.Defaults.Unit
	fmt.Fprintf(&s.svg, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#9aa0a6\"/><text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text><text x=\"%[5]d\" y=\"%[3]d\" text-anchor=\"end\">0</text>\n",
		left, top, h-bottom, w-right, left-4, top+8, written(highest, unit))
	x := left
	for i, l := range lines {
		var path strings.Builder
		command := "M"
		var last time.Time
		for _, p := range l.points {
			if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
				command = "M"
				continue
			}
			if p.Time.Sub(last) > 3*step { // nothing was there meanwhile
				command = "M"
			}
			last = p.Time
			fmt.Fprintf(&path, "%s%d %d", command, left+s.at(p.Time, w-left-right), h-bottom-int(float64(h-bottom-top)*max(p.Value, 0)/highest))
			command = "L"
		}
		fmt.Fprintf(&s.svg, "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"/>", path.String(), colours[i])
		if x < w-60 {
			fmt.Fprintf(&s.svg, "<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>", x, h-12, colours[i], html.EscapeString(l.name))
			x += 14 + 6*len(l.name)
		}
		s.svg.WriteString("\n")
	}
}

// written is a value with its unit.
func written(v float64, unit string) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "none"
	case unit == "s" && v >= 60:
		return time.Duration(v * float64(time.Second)).Round(time.Second).String()
	case unit == "s":
		return fmt.Sprintf("%.3g s", v)
	case unit == "percentunit":
		return fmt.Sprintf("%.1f %%", 100*v)
	case unit == "bytes":
		return fmt.Sprintf("%.4g MiB", v/(1<<20))
	default:
		return fmt.Sprintf("%.3g", v)
	}
}
