package app

import (
	"bufio"
	"encoding/json"
	"io"
)

// result is what a command has found. Its exported fields are the JSON form.
type result interface {
	// print writes the form for people. Errors of w are dealt with by whoever calls it.
	print(w io.Writer)
}

// publish writes r to w, as one JSON document or for people.
func publish(w io.Writer, asJSON bool, r result) error {
	out := bufio.NewWriter(w) // an error sticks, and Flush returns it
	if asJSON {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return err
		}
		return out.Flush()
	}
	r.print(out)
	return out.Flush()
}
