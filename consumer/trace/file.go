package trace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Writer writes events, each as one line with one write, so that whatever was said
// before the process was killed is there. It may be used from several goroutines
// if the writer below it may, as a file may.
type Writer struct{ w io.Writer }

// NewWriter returns a writer to w, which must not keep anything back.
func NewWriter(w io.Writer) *Writer { return &Writer{w} }

// Write writes an event. It returns when the operating system has it.
func (w *Writer) Write(e Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	if _, err := w.w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}

// Open opens a file to write a trace to, behind what is in it. A new file can be
// read by its owner only. If a process died within its last line, that line is
// ended, so that Read can tell it from the next. The caller closes the file.
func Open(name string) (*os.File, error) {
	// Read as well, for its last byte. O_APPEND: each write lands whole, at the end.
	f, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if err := endLine(f); err != nil {
		_ = f.Close() // the first error says why
		return nil, fmt.Errorf("trace: %w", err)
	}
	return f, nil
}

func endLine(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		return err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		_, err = f.Write([]byte{'\n'})
	}
	return err
}

// begin is how each line begins.
var begin = []byte(`{"at":`)

// Read returns the events of a trace, in the order in which they were written. It
// leaves out a line that a killed process did not end: what such a line says was
// about to happen has not begun. Anything else that is no event is an error.
func Read(r io.Reader) ([]Event, error) {
	var all []Event
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("trace: line %d: %w", n, err)
		}
		if len(text) == 0 {
			return all, nil
		}
		whole := err == nil
		var e Event
		switch err := json.Unmarshal(text, &e); {
		case err == nil && whole:
			all = append(all, e)
		case err != nil && !half(text):
			return nil, fmt.Errorf("trace: line %d is no event: %w", n, err)
		}
	}
}

// half reports whether text can be the beginning of an event.
func half(text []byte) bool {
	text = bytes.TrimSuffix(text, []byte{'\n'})
	return len(text) > 0 && !json.Valid(text) && bytes.HasPrefix(text, begin[:min(len(begin), len(text))])
}
