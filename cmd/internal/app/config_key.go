package app

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	usync "usersync/sync"
)

// A key is one leaf of the configuration file: where it stands, what it means,
// how its text becomes a value and what a good value is. The table of keys is
// the only thing that knows the file's shape: reading, checking and printing the
// defaults are three walks over it.
type key struct {
	path     string
	doc      string
	required string // what to give, if it is missing; empty: optional
	secret   bool   // its text is never repeated

	secretFile *string // the path that it holds is that of a secret; nil: it is not

	// How it is read: one of the three. A scalar is read by what its key wants
	// and not by what YAML guesses, so a password of 0123 keeps its zero.
	scalar  func(text string) error
	list    func(items []string)
	mapping func(overrides map[string]any)

	empty func() bool
	check []func() error // of a value that is not empty
	print func() any     // string, []string, map[string]any or what fmt prints as YAML
}

// require makes k one that the file must have.
func (k key) require() key {
	k.required = "give it a value"
	return k
}

// must adds a check of the value.
func (k key) must(check func() error) key {
	k.check = append(slices.Clone(k.check), check)
	return k
}

// problem judges the value alone.
func (k key) problem() (Problem, bool) {
	if k.empty() {
		if k.required == "" {
			return Problem{}, false
		}
		return Problem{Key: k.path, Text: "is required; " + k.required}, true
	}
	for _, check := range k.check {
		if err := check(); err != nil {
			return Problem{Key: k.path, Text: err.Error()}, true
		}
	}
	return Problem{}, false
}

// scalarKey is a key whose text parse turns into a value of type T.
func scalarKey[T comparable](path string, p *T, doc string, parse func(string) (T, error)) key {
	var zero T
	return key{
		path: path,
		doc:  doc,
		scalar: func(text string) error {
			v, err := parse(text)
			if err == nil {
				*p = v
			}
			return err
		},
		empty: func() bool { return *p == zero },
		print: func() any { return *p },
	}
}

func textKey[T ~string](path string, p *T, doc string) key {
	k := scalarKey(path, p, doc, func(s string) (T, error) { return T(s), nil })
	k.print = func() any { return string(*p) }
	return k
}

// enumKey is a text that must be one of a few.
func enumKey[T ~string](path string, p *T, doc string, values ...T) key {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	k := textKey(path, p, doc+": "+strings.Join(names, ", ")).must(func() error {
		if !slices.Contains(values, *p) {
			return errors.New("must be one of " + strings.Join(names, ", "))
		}
		return nil
	})
	k.required = "give " + strings.Join(names, " or ")
	return k
}

// orEmpty makes k optional.
func (k key) orEmpty() key {
	k.required = ""
	return k
}

func boolKey(path string, p *bool, doc string) key {
	return scalarKey(path, p, doc, func(s string) (bool, error) {
		if s != "true" && s != "false" {
			return false, errors.New("must be true or false")
		}
		return s == "true", nil
	})
}

// durationKey is a span of time that is above zero.
func durationKey(path string, p *time.Duration, doc string) key {
	k := scalarKey(path, p, doc, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, errors.New("is not a duration; write it like 200ms, 45s or 15m")
		}
		return d, nil
	})
	k.empty = func() bool { return false }
	return k.must(func() error {
		if *p <= 0 {
			return errors.New("must be above 0; write it like 200ms, 45s or 15m")
		}
		return nil
	})
}

// intKey is a whole number that is at least least.
func intKey(path string, p *int, least int, doc string) key {
	k := scalarKey(path, p, doc, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, errors.New("is not a whole number")
		}
		return n, nil
	})
	k.empty = func() bool { return false }
	return k.must(func() error { return atLeast(*p, least) })
}

// bytesKey is a number of bytes, plain or with the suffix KiB, MiB or GiB.
func bytesKey(path string, p *int, doc string) key {
	k := intKey(path, p, 1, doc)
	k.scalar = func(s string) error {
		n, err := parseBytes(s)
		if err == nil {
			*p = n
		}
		return err
	}
	return k
}

func parseBytes(s string) (int, error) {
	unit := 1
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = number, 1<<(10*(i+1))
			break
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n*unit/unit != n {
		return 0, errors.New("is not a number of bytes; write it like 67108864 or 64MiB")
	}
	return n * unit, nil
}

// numberKey is a number that is at least least.
func numberKey(path string, p *float64, least float64, doc string) key {
	k := scalarKey(path, p, doc, func(s string) (float64, error) {
		f, err := strconv.ParseFloat(s, 64)
		// An infinity or NaN would pass every comparison that follows, or none.
		if err != nil || f-f != 0 {
			return 0, errors.New("is not a number")
		}
		return f, nil
	})
	k.empty = func() bool { return false }
	return k.must(func() error { return atLeast(*p, least) })
}

func atLeast[T int | float64](v, least T) error {
	if v < least {
		return fmt.Errorf("must be at least %v", least)
	}
	return nil
}

// listKey is a list of distinct texts.
func listKey(path string, p *[]string, doc string, each func(string) error) key {
	return key{
		path:  path,
		doc:   doc,
		list:  func(items []string) { *p = items },
		empty: func() bool { return len(*p) == 0 },
		check: []func() error{func() error {
			for i, item := range *p {
				if err := each(item); err != nil {
					return fmt.Errorf("item %d %w", i+1, err)
				}
				if first := slices.Index(*p, item); first < i {
					return fmt.Errorf("item %d is the same as item %d; remove one", i+1, first+1)
				}
			}
			return nil
		}},
		print: func() any { return *p },
	}
}

// secretKeys is a credential: in the file itself, or in a file of its own.
func secretKeys(path string, p *usync.Secret, doc string) []key {
	file := path + "_file"
	value := textKey(path, &p.Value, doc)
	value.secret = true
	inFile := textKey(file, &p.File, "the file that holds "+leaf(path)).must(func() error {
		if p.Value != "" {
			return fmt.Errorf("is given beside %s; remove one of them", leaf(path))
		}
		return checkSecretFile(*p)
	})
	inFile.secretFile = &p.File
	return []key{value, inFile}
}

// requiredSecretKeys is a credential that must be given in one of the two ways.
func requiredSecretKeys(path string, p *usync.Secret, doc string) []key {
	keys := secretKeys(path, p, doc)
	keys[0].required = fmt.Sprintf("give %s or %[1]s_file", leaf(path))
	keys[0].empty = func() bool { return *p == usync.Secret{} }
	return keys
}

// leaf returns the last name of a path.
func leaf(path string) string { return path[strings.LastIndex(path, ".")+1:] }
