package app

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A reader walks a YAML file along the table of keys, hands each value to its
// key and collects what is wrong, with the line. It works on the syntax tree and
// not on a decoded struct, because only the tree knows the line of everything
// and what was written before YAML guessed a type.
type reader struct {
	file     string
	keys     []key
	env      func(string) (string, bool)
	lines    map[string]int // by path, of keys and sections that the file has
	problems []Problem
	broken   bool // not YAML: there is nothing to judge further
}

func newReader(file string, keys []key, env func(string) (string, bool)) *reader {
	return &reader{file: file, keys: keys, env: env, lines: make(map[string]int)}
}

// read gives every value in data to its key.
func (r *reader) read(data []byte) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // editors on Windows begin a file with it
	// Duplicates are allowed here so that they are found with all other problems.
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.broken = true
		r.add(syntaxProblem(err))
		return
	}
	switch len(file.Docs) {
	case 0:
	case 1:
		r.section("", file.Docs[0].Body)
	default:
		r.broken = true
		r.add(Problem{Line: line(file.Docs[1]), Text: "a second document begins here; a configuration is one document"})
	}
}

// syntaxProblem is what the YAML parser says, without the source text that its
// own rendering would add: a credential may stand there.
func syntaxProblem(err error) Problem {
	if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
		text := "is not YAML: " + e.GetMessage()
		if strings.Contains(e.GetMessage(), "must be specified") {
			text += `; inside [...] and {...}, quote a variable: "${NAME}"`
		}
		return Problem{Line: e.GetToken().Position.Line, Text: text}
	}
	return Problem{Text: "is not YAML"}
}

// section walks the names under path, which is empty or ends with a dot.
func (r *reader) section(path string, n ast.Node) {
	values, ok := entries(n)
	if !ok {
		r.add(Problem{Line: line(n), Key: strings.TrimSuffix(path, "."), Text: "must hold keys, not " + describe(n)})
		return
	}
	for _, v := range values {
		name, full, ok := r.name(path, v)
		if !ok {
			continue
		}
		k, isKey := r.find(full)
		switch {
		case strings.Contains(name, "."), !isKey && len(r.children(full+".")) == 0:
			known := strings.Join(r.children(path), ", ")
			r.add(Problem{Key: full, Text: "unknown key; remove it, or use one of " + known})
		case isKey:
			r.leaf(k, v.Value)
		default:
			r.section(full+".", v.Value)
		}
	}
}

// leaf hands the value n to k.
func (r *reader) leaf(k key, n ast.Node) {
	switch {
	case k.scalar != nil:
		if text, ok := r.text(k, n, "a single value"); ok {
			if err := k.scalar(text.value); err != nil {
				r.wrong(k, n, text.quoted+err.Error())
			}
		}
	case k.list != nil:
		r.list(k, n)
	default:
		k.mapping(r.fields(k.path, n))
	}
}

// A text is a scalar of the file.
type text struct {
	value  string // with its variables
	quoted string // as a message may repeat it: without them, and empty if secret
}

// text returns the scalar n, which is wanted.
func (r *reader) text(k key, n ast.Node, wanted string) (text, bool) {
	raw, ok := scalar(n)
	if !ok {
		r.wrong(k, n, "must be "+wanted+", not "+describe(n))
		return text{}, false
	}
	value, err := expand(raw, r.env)
	if err != nil {
		r.wrong(k, n, err.Error())
		return text{}, false
	}
	if k.secret {
		return text{value: value}, true
	}
	return text{value: value, quoted: fmt.Sprintf("%q ", raw)}, true
}

func (r *reader) list(k key, n ast.Node) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.wrong(k, n, "must be a list like [a, b], not "+describe(n))
		return
	}
	items := make([]string, 0, len(seq.Values))
	for _, v := range seq.Values {
		item, ok := r.text(k, v, "a list of single values")
		if !ok {
			return
		}
		items = append(items, item.value)
	}
	k.list(items)
}

// fields reads the names under path: each has an expression, nothing, or fields
// of its own. It leaves out what is wrong, after saying so. Nothing is expanded:
// an expression may hold ${...} in a string, and should not depend on where it
// runs.
func (r *reader) fields(path string, n ast.Node) map[string]any {
	values, ok := entries(n)
	if !ok {
		r.add(Problem{Line: line(n), Key: path, Text: "must hold expressions by name, not " + describe(n)})
		return nil
	}
	fields := make(map[string]any, len(values))
	for _, v := range values {
		name, full, ok := r.name(path+".", v)
		if !ok {
			continue
		}
		switch expr, isScalar := scalar(v.Value); {
		case isScalar:
			fields[name] = expr
		case isNull(v.Value):
			fields[name] = nil
		default:
			if inner := r.fields(full, v.Value); inner != nil {
				fields[name] = inner
			}
		}
	}
	return fields
}

// name returns the name of v and its path, and notes its line; path is that
// around it, with a dot. It is not ok for a name that was there before.
func (r *reader) name(path string, v *ast.MappingValueNode) (name, full string, ok bool) {
	name = v.Key.GetToken().Value
	full = path + name
	at := v.Key.GetToken().Position.Line
	if first, twice := r.lines[full]; twice {
		r.add(Problem{Line: at, Key: full, Text: fmt.Sprintf("is already on line %d; remove one", first)})
		return name, full, false
	}
	r.lines[full] = at
	return name, full, true
}

// find returns the key at path.
func (r *reader) find(path string) (key, bool) {
	i := slices.IndexFunc(r.keys, func(k key) bool { return k.path == path })
	if i < 0 {
		return key{}, false
	}
	return r.keys[i], true
}

// children lists the names that may stand under path.
func (r *reader) children(path string) []string {
	var names []string
	for _, k := range r.keys {
		if rest, ok := strings.CutPrefix(k.path, path); ok {
			name, _, _ := strings.Cut(rest, ".")
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// seen reports whether the file has the key or section at path.
func (r *reader) seen(path string) bool { return r.lines[path] > 0 }

// wrong adds a problem with the value n of k.
func (r *reader) wrong(k key, n ast.Node, text string) {
	p := Problem{Line: line(n), Key: k.path, Text: text}
	if isNull(n) {
		p.Line = r.lines[k.path]
	}
	r.add(p)
}

// add collects p, at its place in the file.
func (r *reader) add(p Problem) {
	r.place(&p)
	r.problems = append(r.problems, p)
}

// place gives p the file, and the line of its key or of the section around it.
func (r *reader) place(p *Problem) {
	p.File = r.file
	for path := p.Key; p.Line == 0 && path != ""; {
		p.Line = r.lines[path]
		path = path[:max(0, strings.LastIndex(path, "."))]
	}
}

// err joins the problems in the order of the file.
func (r *reader) err() error {
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return join(r.problems)
}
