package main

import (
	"cmp"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"usersync/e2e/plot"
)

// bars is one picture: a bar for each contender in each cell, on a logarithmic scale, with
// a line from the lowest round to the highest.
type bars struct {
	file, title string
	of          func(row) *stat
}

var plots = []bars{
	{"wall.svg", "Time from the first call to the last, over the least", func(r row) *stat { return r.WallLeast }},
	{"cpu.svg", "CPU for each change, in microseconds", func(r row) *stat { return r.CPURecord }},
	{"memory.svg", "Peak memory, in MB", func(r row) *stat { return r.Peak }},
}

var colours = map[string]string{
	nameWorker: "#299c46", nameLoop: "#9aa0a6", "fetch": "#9aa0a6", nameValid: "#9aa0a6", nameDecode: "#9aa0a6",
	"ordered": "#3274d9", "pool": "#e0752d", nameJava: "#b877d9",
}

// draw writes the pictures into a directory, which it makes.
func (r *report) draw(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range plots {
		if err := os.WriteFile(filepath.Join(dir, p.file), []byte(p.svg(r.Cells)), 0o644); err != nil {
			return err
		}
	}
	text := lines(r.Cells)
	if text == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "memory-by-users.svg"), []byte(text), 0o644)
}

// bar is the height of one, in pixels.
const bar = 18

// scaleOf is a scale with room for all figures.
func scaleOf(all []stat) *plot.Scale {
	var s plot.Scale
	for _, x := range all {
		s.Include(x.Min)
		s.Include(x.Max)
	}
	return &s
}

func (p bars) svg(cells []summed) string {
	var all []stat
	for _, c := range cells {
		for _, x := range c.Rows {
			if s := p.of(x); s != nil {
				all = append(all, *s)
			}
		}
	}
	var b strings.Builder
	y := 34
	if len(all) > 0 {
		y = p.draw(&b, cells, scaleOf(all))
	}
	return plot.Page(p.title, y, b.String())
}

// draw draws all cells and returns where they end.
func (p bars) draw(b *strings.Builder, cells []summed, s *plot.Scale) (y int) {
	x := func(value float64) int { return plot.Left + int(s.At(value)*(plot.Width-plot.Left-plot.Right)) }
	var drawn strings.Builder
	y = 34
	for _, c := range cells {
		fmt.Fprintf(&drawn, "<text x=\"8\" y=\"%d\" font-weight=\"bold\">%s</text>\n", y+14, html.EscapeString(title(c.cell)))
		y += 22
		for _, r := range c.Rows {
			f := p.of(r)
			if f == nil {
				continue
			}
			fmt.Fprintf(&drawn, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>",
				plot.Left-6, y+13, r.Contender, plot.Left, y+2, max(1, x(f.Median)-plot.Left), bar-4, colours[r.Contender])
			fmt.Fprintf(&drawn, "<path d=\"M%d %dH%d\" stroke=\"#222\"/><text x=\"%d\" y=\"%d\">%s</text>\n",
				x(f.Min), y+bar/2, x(f.Max), x(f.Max)+5, y+13, short(f.Median))
			y += bar
		}
		y += 10
	}
	for _, t := range s.Ticks() {
		fmt.Fprintf(b, "<path d=\"M%d 34V%d\" stroke=\"#dcdfe3\"/><text x=\"%[1]d\" y=\"%[3]d\" text-anchor=\"middle\">%[4]g</text>\n", x(t), y, y+14, t)
	}
	b.WriteString(drawn.String()) // over the scale
	return y + 20
}

// short writes a figure with three digits, or all that are before the point.
func short(value float64) string {
	decimals := 0
	for limit := 100.0; value < limit && decimals < 2; limit /= 10 {
		decimals++
	}
	return strconv.FormatFloat(value, 'f', decimals, 64)
}

// lines draws the peak memory by users, where more than one number of them was measured
// under the same conditions; else it returns nothing.
func lines(cells []summed) string {
	series := map[cell][]summed{} // by what is the same
	var longest []summed
	for _, c := range cells {
		same := c.cell
		same.Changes, same.Distinct, same.Bytes = 0, 0, 0
		series[same] = append(series[same], c)
		if len(series[same]) > len(longest) {
			longest = series[same]
		}
	}
	if len(longest) < 2 {
		return ""
	}
	slices.SortFunc(longest, func(a, b summed) int { return cmp.Compare(a.Distinct, b.Distinct) })
	points := map[string][][2]float64{}
	for _, c := range longest {
		for _, r := range c.Rows {
			points[r.Contender] = append(points[r.Contender], [2]float64{float64(c.Distinct), r.Peak.Median})
		}
	}
	var drawn []plot.Line
	for _, c := range contenders {
		drawn = append(drawn, plot.Line{Name: c.name, Colour: colours[c.name], Points: points[c.name]})
	}
	return plot.Lines("Peak memory in MB, by users that change ("+longest[0].Workload+")",
		func(users float64) string { return thousands(int(users)) }, drawn)
}
