package sync

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The bounds of an Object field. Haptik documents only that custom data is flat
// JSON; the numbers are ours, well below what such services take.
const (
	maxEntries     = 50
	maxEntryRunes  = 500  // a longer value is cut
	maxObjectBytes = 8192 // as JSON
)

var entryName = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)

type objectEntry struct {
	name, path string // path is field.name
	expression *Expression
}

func compileEntries(field string, source any) ([]objectEntry, error) {
	sources, ok := source.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: must map names to expressions", field)
	}
	var errs []error
	if len(sources) > maxEntries {
		errs = append(errs, fmt.Errorf("%s: has more than %d entries", field, maxEntries))
	}
	var entries []objectEntry
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		path := field + "." + name
		if !entryName.MatchString(name) {
			errs = append(errs, fmt.Errorf("%s: a name has 1 to 64 letters, digits or underscores", path))
			continue
		}
		e, err := compileSource(path, sources[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		entries = append(entries, objectEntry{name, path, e})
	}
	return entries, errors.Join(errs...)
}

// writeEntries adds an Object field to w. If one entry is unavailable, the whole
// field is: nobody documents whether a vendor merges the entries into those it
// has or replaces them all, and then that entry would be lost.
func (m *Mapping) writeEntries(w *objectWriter, f *mappedField, row Columns) ([]Omission, error) {
	// The configured names are taken from the start: a member of a map that
	// comes out under the same name gives way.
	o := object{}
	for _, e := range f.entries {
		o[e.name] = ""
	}
	var omissions []Omission
	known := true
	for _, e := range f.entries {
		reason := o.eval(e, row)
		if reason == omittedUnavailable || reason == omittedNoColumn {
			if m.onUnavailable == UnavailableFail {
				return nil, &InvalidError{Field: e.path, Code: reason}
			}
			known = false
		}
		if reason != "" {
			omissions = append(omissions, Omission{Field: e.path, Reason: reason})
		}
	}
	if known && !m.writeObject(w, f, o) {
		omissions = append(omissions, Omission{Field: f.Name, Reason: omittedInvalid})
	}
	return omissions, nil
}

// object holds the members of an Object field; "" is NULL.
type object map[string]string

func (o object) eval(e objectEntry, row Columns) (reason string) {
	v, err := e.expression.Eval(row)
	if err != nil {
		return omittedInvalid
	}
	if u, ok := v.(Unavailable); ok {
		return u.reason()
	}
	return o.add(e.name, v)
}

// add sets the member name to v, or for a map the members name_key. The reason
// says that some of it is NULL or, which weighs more, of no use.
func (o object) add(name string, v any) (reason string) {
	m, ok := v.(map[string]any)
	if !ok {
		s, ok := entryText(v)
		o[name] = s
		switch {
		case !ok:
			return omittedInvalid
		case s == "":
			return omittedNull
		}
		return ""
	}
	delete(o, name)
	for _, key := range sortedKeys(m) {
		path := name + "_" + key
		// The bound on a name also bounds the depth: each level adds to it.
		_, taken := o[path]
		if taken || !entryName.MatchString(path) {
			reason = omittedInvalid
			continue
		}
		if r := o.add(path, m[key]); r != "" && reason != omittedInvalid {
			reason = r
		}
	}
	return reason
}

// entryText returns the text of a scalar, or of an array of scalars joined by
// commas. It is empty for NULL, and not ok for anything else.
func entryText(v any) (string, bool) {
	array, ok := v.([]any)
	if !ok {
		s, ok := asText(v)
		return cut(cleanText(s), maxEntryRunes), ok
	}
	var parts []string
	for _, e := range array {
		s, ok := asText(e)
		if !ok {
			return "", false
		}
		if s = cleanText(s); s != "" {
			parts = append(parts, s)
		}
	}
	return cut(strings.Join(parts, ","), maxEntryRunes), true
}

// sortedKeys returns the keys of m in order, in one allocation.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// writeObject adds o to w in the order of names, and reports whether all of it
// found room.
func (m *Mapping) writeObject(w *objectWriter, f *mappedField, o object) (complete bool) {
	before := len(w.buf)
	w.name(f.Name)
	start := len(w.buf)
	w.buf = append(w.buf, '{')
	complete = true
	written := 0
	for _, name := range sortedKeys(o) {
		mark := len(w.buf)
		if s := o[name]; s != "" {
			w.text(name, s)
		} else {
			m.writeNull(w, name, `""`)
		}
		if len(w.buf) == mark { // NULL, and the policy is to omit it
			continue
		}
		if written == maxEntries || len(w.buf)-start >= maxObjectBytes {
			w.buf = w.buf[:mark]
			complete = false
			continue
		}
		written++
	}
	if written == 0 {
		w.buf = w.buf[:before]
		m.writeNull(w, f.Name, "{}")
	} else {
		w.buf = append(w.buf, '}')
	}
	return complete
}
