package sync

import (
	"cmp"
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// function is what an expression can call: by name if it is public, otherwise
// in place of the operator of that name.
type function struct {
	public    bool
	call      func(args ...any) (any, error)
	signature any // a func type; it lets the compiler check the arguments
}

// NULL goes through every function: NULL in, NULL out.
var functions = map[string]function{
	"e164":     {true, e164, new(func(phone, region any) any)},
	"iso639_1": {true, iso6391, new(func(any) any)},
	"first":    {true, solid, new(func(...any) any)},
	"lower":    {true, onText(strings.ToLower), new(func(any) any)},
	"upper":    {true, onText(strings.ToUpper), new(func(any) any)},
	"trim":     {true, onText(strings.TrimSpace), new(func(any) any)},
	"truncate": {true, truncate, new(func(x any, runes int) any)},

	"column": {false, column, new(func(row, name any) any)},
	"member": {false, member, new(func(x, key any) any)},
	"text":   {false, onText(func(s string) string { return s }), new(func(any) any)},
	"truth":  {false, truth, new(func(any) bool)},
	"+":      {false, join, new(func(a, b any) any)},
	"in":     {false, in, new(func(a, b any) bool)},
	"==":     {false, func(ab ...any) (any, error) { return equal(ab[0], ab[1]), nil }, new(func(a, b any) bool)},
	"!=":     {false, func(ab ...any) (any, error) { return !equal(ab[0], ab[1]), nil }, new(func(a, b any) bool)},
	"<":      {false, ordered(func(c int) bool { return c < 0 }), new(func(a, b any) bool)},
	"<=":     {false, ordered(func(c int) bool { return c <= 0 }), new(func(a, b any) bool)},
	">":      {false, ordered(func(c int) bool { return c > 0 }), new(func(a, b any) bool)},
	">=":     {false, ordered(func(c int) bool { return c >= 0 }), new(func(a, b any) bool)},
}

// Constants, because a text made from the arguments could hold a value.
var (
	errType = errors.New("wrong type")
	errSize = errors.New("text is too long")
)

func column(args ...any) (any, error) {
	row, _ := args[0].(Columns)
	name, _ := args[1].(string)
	v, unknown := read(row, name)
	if unknown != nil {
		return nil, unknown
	}
	return v, nil
}

// member takes an element of a map or an array; one that is not there is NULL.
func member(args ...any) (any, error) {
	x, key := args[0], args[1]
	if x == nil || key == nil {
		return nil, nil
	}
	switch x := x.(type) {
	case map[string]any:
		name, ok := asText(key)
		if !ok {
			return nil, errType
		}
		return x[name], nil
	case []any:
		i, ok := key.(int)
		if !ok {
			return nil, errType
		}
		if i < 0 || i >= len(x) {
			return nil, nil
		}
		return x[i], nil
	}
	return nil, errType
}

// solid makes a text NULL that would be blank in the payload; first is a chain of
// these.
func solid(args ...any) (any, error) {
	blank := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	if s, ok := args[0].(string); ok && strings.TrimLeftFunc(s, blank) == "" {
		return nil, nil
	}
	return args[0], nil
}

func truth(args ...any) (any, error) {
	switch b := args[0].(type) {
	case nil: // as in SQL: what is not known to be true does not pass
		return false, nil
	case bool:
		return b, nil
	}
	return nil, errType
}

// join is the operator +. It joins texts, and NULL is the empty one, so that a
// missing part of a name does not take the other parts with it. Two numbers are
// refused rather than silently joined.
func join(args ...any) (any, error) {
	if isNumber(args[0]) && isNumber(args[1]) {
		return nil, errType
	}
	a, okA := asText(args[0])
	b, okB := asText(args[1])
	switch {
	case !okA || !okB:
		return nil, errType
	case len(a)+len(b) > maxText:
		return nil, errSize
	}
	return a + b, nil
}

func onText(f func(string) string) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		if args[0] == nil {
			return nil, nil
		}
		s, ok := asText(args[0])
		if !ok {
			return nil, errType
		}
		return f(s), nil
	}
}

func truncate(args ...any) (any, error) {
	n, ok := args[1].(int)
	if !ok || n < 0 {
		return nil, errType
	}
	return onText(func(s string) string { return cut(s, n) })(args[0])
}

func e164(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	phone, okPhone := asText(args[0])
	region, okRegion := asText(args[1])
	if !okPhone || !okRegion {
		return nil, errType
	}
	if s, ok := normalizePhone(phone, region, phoneE164); ok {
		return s, nil
	}
	return nil, nil
}

func iso6391(args ...any) (any, error) {
	s, ok := asText(args[0])
	if !ok {
		return nil, errType
	}
	if code, ok := normalizeLanguage(s); ok {
		return code, nil
	}
	return nil, nil
}

func in(args ...any) (any, error) {
	switch set := args[1].(type) {
	case nil:
		return false, nil
	case []any:
		for _, e := range set {
			if equal(args[0], e) {
				return true, nil
			}
		}
		return false, nil
	case map[string]any:
		key, ok := asText(args[0])
		_, found := set[key]
		return ok && args[0] != nil && found, nil
	}
	return nil, errType
}

// equal compares numbers by value, whatever their types. Other values are equal
// only if they have the same type.
func equal(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	c, ok := compare(a, b)
	return ok && c == 0
}

func ordered(holds func(int) bool) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		if args[0] == nil || args[1] == nil {
			return false, nil
		}
		c, ok := compare(args[0], args[1])
		if !ok {
			return nil, errType
		}
		return holds(c), nil
	}
}

func compare(a, b any) (int, bool) {
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return strings.Compare(x, y), ok
	case bool:
		y, ok := b.(bool)
		return strings.Compare(strconv.FormatBool(x), strconv.FormatBool(y)), ok
	case time.Time:
		y, ok := b.(time.Time)
		return x.Compare(y), ok
	}
	if x, ok := asInteger(a); ok {
		if y, ok := asInteger(b); ok {
			return x.Cmp(y), true
		}
	}
	x, okX := asFloat(a)
	y, okY := asFloat(b)
	return cmp.Compare(x, y), okX && okY
}

func isNumber(v any) bool {
	_, ok := asFloat(v)
	return ok
}

// asInteger keeps 64-bit identifiers exact, which a float64 would not.
func asInteger(v any) (*big.Int, bool) {
	switch v := v.(type) {
	case int:
		return big.NewInt(int64(v)), true
	case int64:
		return big.NewInt(v), true
	case uint64:
		return new(big.Int).SetUint64(v), true
	case json.Number:
		const digits = 100 // conversion takes longer than linear time
		if len(v) <= digits {
			return new(big.Int).SetString(string(v), 10)
		}
	}
	return nil, false
}

func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}

// asText writes a scalar as text: integers and decimals digit by digit as the
// source wrote them, times in RFC 3339. NULL is the empty text; arrays and maps
// have none.
func asText(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int: // a literal
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case float64: // a literal
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case json.Number:
		return v.String(), true
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	}
	return "", false
}
