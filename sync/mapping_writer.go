package sync

import (
	"bytes"
	"encoding/json"
	"sync"
	"unicode/utf8"
)

// objectWriter writes a JSON object, member by member. Its bytes are those of a
// json.Encoder: payloads are compared with what an earlier version delivered.
type objectWriter struct{ buf []byte }

// writers are kept for their room.
var writers = sync.Pool{New: func() any { return new(objectWriter) }}

// maxRoom is how much of it is kept, in bytes: what one huge payload took is let go.
const maxRoom = 64 << 10

// newObjectWriter returns a writer, which is not to be used after it is closed.
func newObjectWriter() *objectWriter {
	w := writers.Get().(*objectWriter)
	w.buf = append(w.buf[:0], '{')
	return w
}

func (w *objectWriter) text(name, value string) {
	w.name(name)
	w.string(value)
}

// raw adds a value that is JSON already.
func (w *objectWriter) raw(name string, value string) {
	w.name(name)
	w.buf = append(w.buf, value...)
}

func (w *objectWriter) name(name string) {
	if w.buf[len(w.buf)-1] != '{' {
		w.buf = append(w.buf, ',')
	}
	w.string(name)
	w.buf = append(w.buf, ':')
}

func (w *objectWriter) string(s string) {
	if !escaped(s) {
		w.buf = append(append(append(w.buf, '"'), s...), '"')
		return
	}
	var encoded bytes.Buffer
	e := json.NewEncoder(&encoded)
	e.SetEscapeHTML(false) // the vendors want the text, not a web page
	_ = e.Encode(s)        // a string and a buffer: nothing can fail
	w.buf = append(w.buf, bytes.TrimSuffix(encoded.Bytes(), []byte("\n"))...)
}

// escaped reports whether JSON has s other than as it is. The two separators would
// end a line of JavaScript, and what is not UTF-8 is replaced.
func escaped(s string) bool {
	for _, r := range s {
		if r < ' ' || r == '"' || r == '\\' || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return true
		}
	}
	return false
}

// close returns the object, without the room: it is kept for as long as its user waits.
func (w *objectWriter) close() []byte {
	w.buf = append(w.buf, '}')
	object := bytes.Clone(w.buf)
	if cap(w.buf) <= maxRoom {
		writers.Put(w)
	}
	return object
}
