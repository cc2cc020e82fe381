// Package plot draws figures as SVG, by itself: a picture of the docs is then made by the
// command that measures, and shows what that measured.
package plot

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The layout of all pictures, in pixels.
const (
	Width  = 900
	Left   = 150 // margins of what is drawn
	Right  = 90
	height = 360 // of lines
)

// Scale is a logarithmic one. The zero Scale has nothing on it yet.
type Scale struct {
	low, high float64
	some      bool
}

// Include widens the scale to the powers of ten around a figure. One that is not above
// zero has no place on it.
func (s *Scale) Include(value float64) {
	if value <= 0 {
		return
	}
	low, high := math.Floor(math.Log10(value)), math.Ceil(math.Log10(value))
	if s.some {
		low, high = min(s.low, low), max(s.high, high)
	}
	*s = Scale{low, high, true}
}

// top is the upper end; a scale of one figure, or of none, is one power of ten long.
func (s *Scale) top() float64 { return max(s.high, s.low+1) }

// At is where a figure is, from 0 to 1.
func (s *Scale) At(value float64) float64 {
	if value <= 0 {
		return 0
	}
	return min(max((math.Log10(value)-s.low)/(s.top()-s.low), 0), 1)
}

// Ticks are the powers of ten.
func (s *Scale) Ticks() []float64 {
	var all []float64
	for power := s.low; power <= s.top(); power++ {
		all = append(all, math.Pow(10, power))
	}
	return all
}

// Line is what was measured of one thing.
type Line struct {
	Name, Colour string
	Points       [][2]float64 // across and up
}

// Lines draws lines over two logarithmic scales. across writes a figure of the lower one.
func Lines(title string, across func(float64) string, lines []Line) string {
	var low, side Scale
	for _, l := range lines {
		for _, p := range l.Points {
			low.Include(p[0])
			side.Include(p[1])
		}
	}
	x := func(v float64) int { return Left + int(low.At(v)*(Width-Left-Right)) }
	y := func(v float64) int { return height - 30 - int(side.At(v)*(height-70)) }
	var b strings.Builder
	for _, t := range low.Ticks() {
		fmt.Fprintf(&b, "<path d=\"M%d %dV%d\" stroke=\"#dcdfe3\"/><text x=\"%[1]d\" y=\"%[4]d\" text-anchor=\"middle\">%[5]s</text>\n",
			x(t), height-30, 40, height-14, across(t))
	}
	for _, t := range side.Ticks() {
		fmt.Fprintf(&b, "<path d=\"M%d %dH%d\" stroke=\"#dcdfe3\"/><text x=\"%[4]d\" y=\"%[2]d\" text-anchor=\"end\">%[5]g</text>\n",
			Left, y(t), Width-Right, Left-6, t)
	}
	for _, l := range lines {
		if len(l.Points) == 0 {
			continue
		}
		var path strings.Builder
		for i, p := range l.Points {
			fmt.Fprintf(&path, "%c%d %d", "ML"[min(i, 1)], x(p[0]), y(p[1]))
		}
		end := l.Points[len(l.Points)-1]
		fmt.Fprintf(&b, "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/><text x=\"%d\" y=\"%d\">%s</text>\n",
			path.String(), l.Colour, x(end[0])+4, y(end[1])+4, html.EscapeString(l.Name))
	}
	return Page(title, height, b.String())
}

// Page makes a picture of what was drawn.
func Page(title string, height int, body string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+
		"\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"8\" y=\"22\" font-size=\"16\" font-weight=\"bold\">%s</text>\n%s</svg>\n",
		Width, height, html.EscapeString(title), body)
}
