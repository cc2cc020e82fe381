package consumer

// obey does what operators say, if that is news to this generation.
func (g *generation) obey() {
	c := g.p.tail.controls()
	if c == g.obeyed {
		return
	}
	g.obeyed = c
	g.accept()
	_, paused := c.Paused(g.Destination)
	g.lane.Pause(paused)
	if a, ok := c.Accepted(g.Destination); ok {
		if n := g.lane.Accept(a.At); n > 0 {
			g.Log.Warn("an operator has accepted that records are given up; they go to the dead-letter topic", "records", n)
		}
	}
}
