package sync

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"github.com/expr-lang/expr/vm"
)

var expressionRow = map[string]any{
	"full_name":  nil,
	"first_name": "Ann",
	"last_name":  nil,
	"blank":      " \t\x07",
	"toast":      Unavailable{},
	"inside":     []any{"a", map[string]any{"b": Unavailable{}}},
	"id":         int64(9007199254740993), // 2^53 + 1: no float64
	"max":        uint64(18446744073709551615),
	"max_less":   uint64(18446744073709551614),
	"huge":       json.Number("123456789012345678901234567890"),
	"huge_less":  json.Number("123456789012345678901234567889"),
	"price":      json.Number("12.50"),
	"n":          int64(1),
	"active":     true,
	"role":       "admin",
	"phone":      "08991234567",
	"lang":       "in_ID",
	"attrs":      map[string]any{"plan": "gold", "tags": []any{"a", nil}},
	"born":       time.Date(2001, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600)),
	"first":      "a column with the name of a function",
	"first name": "no identifier",
}

// expressionValues is what the language means, by example.
var expressionValues = []struct {
	src  string
	want any
}{
	// A bare column comes as it is.
	{`id`, int64(9007199254740993)},
	{`price`, json.Number("12.50")},
	{`full_name`, nil},
	{`first`, expressionRow["first"]},
	{`$env["first name"]`, "no identifier"},
	{`first($env["first name"])`, "no identifier"},
	{`first(first)`, expressionRow["first"]},
	// Numbers stay exact.
	{`id + ""`, "9007199254740993"},
	{`"u" + max`, "u18446744073709551615"},
	{`price + " USD"`, "12.50 USD"},
	{`born + ""`, "2001-02-03T03:05:06Z"},
	{`id == 9007199254740992`, false},
	{`id == 9007199254740993`, true},
	{`max == -1`, false},
	{`max > 1`, true},
	{`max == max_less`, false},
	{`max_less < max`, true},
	{`huge > max`, true},
	{`huge == huge_less`, false},
	{`price == 12.5`, true},
	{`price >= 13`, false},
	{`n in [1, 2]`, true},
	{`1.5 + ""`, "1.5"},
	{`-2`, -2},
	// NULL is an empty text, equal to itself only, and not true.
	{`trim(first_name + " " + last_name)`, "Ann"},
	{`trim(full_name + " " + last_name)`, ""},
	{`full_name == nil`, true},
	{`full_name != "x"`, true},
	{`full_name < 3`, false},
	{`full_name ? "yes" : "no"`, "no"},
	{`not full_name`, true},
	{`full_name ?? role`, "admin"},
	{`full_name contains "x"`, false},
	{`full_name in ["x"]`, false},
	{`role in full_name`, false},
	{`upper(full_name)`, nil},
	{`truncate(full_name, 3)`, nil},
	{`e164(full_name, "ID")`, nil},
	{`full_name.plan`, nil},
	// A map is how one vocabulary is turned into another.
	{`{"admin": "ADMIN"}[role]`, "ADMIN"},
	{`{"user": "USER"}[role]`, nil},
	{`{"admin": "ADMIN"}[full_name]`, nil},
	{`{1: "ADMIN"}[n]`, "ADMIN"},
	{`attrs.plan`, "gold"},
	{`attrs?.plan`, "gold"},
	{`attrs.tags[0]`, "a"},
	{`attrs.tags[9]`, nil},
	{`attrs.none`, nil},
	{`role in {"admin": 1}`, true},
	// Functions.
	{`first(full_name, blank, role)`, "admin"},
	{`first(full_name, blank)`, nil},
	{`first(full_name, "Guest User")`, "Guest User"},
	{`upper(role)`, "ADMIN"},
	{`lower("ÄB")`, "äb"},
	{`role | upper()`, "ADMIN"},
	{`truncate("äöü", 2)`, "äö"},
	{`truncate("ab cd", 3)`, "ab"},
	{`e164(phone, "ID")`, "+628991234567"},
	{`e164(phone, "")`, nil},
	{`iso639_1(lang)`, "id"},
	{`iso639_1("english")`, nil},
	// Conditions.
	{`active ? "A" : "B"`, "A"},
	{`if active { "A" } else { "B" }`, "A"},
	{`role not in ["admin"]`, false},
	{`role matches "^ad" and role startsWith "a" and role endsWith "n"`, true},
	{`role == 1`, false},
}

func TestExpressionValues(t *testing.T) {
	for _, test := range expressionValues {
		e, err := CompileExpression(test.src)
		if err != nil {
			t.Errorf("%s: %v", test.src, err)
			continue
		}
		got, err := e.Eval(ColumnsOf(expressionRow))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s = %#v, %v; want %#v", test.src, got, err, test.want)
		}
	}
}

// An expression is unavailable if and only if it had to read such a column.
func TestExpressionUnavailable(t *testing.T) {
	tests := []struct {
		src  string
		want any
	}{
		{`toast`, Unavailable{}},
		{`inside`, Unavailable{}},
		{`not_in_the_row`, Unavailable{NoColumn: true}},
		{`first(not_in_the_row, toast)`, Unavailable{NoColumn: true}},
		{`first(toast, not_in_the_row)`, Unavailable{}},
		{`trim(toast)`, Unavailable{}},
		{`"x" + toast`, Unavailable{}},
		{`toast == nil`, Unavailable{}},
		{`toast ?? "x"`, Unavailable{}},
		{`inside[0]`, Unavailable{}},
		{`first(toast, role)`, Unavailable{}},
		{`first(full_name, toast, role)`, Unavailable{}},
		{`first(full_name, trim(first_name + toast), role)`, Unavailable{}},
		{`[role, toast]`, Unavailable{}},
		{`active or toast`, true},
		{`first(role, toast, not_in_the_row)`, "admin"},
		{`role == "admin" ? "A" : toast`, "A"},
		{`role ?? toast`, "admin"},
	}
	for _, test := range tests {
		e, err := CompileExpression(test.src)
		if err != nil {
			t.Errorf("%s: %v", test.src, err)
			continue
		}
		got, err := e.Eval(ColumnsOf(expressionRow))
		if err != nil || got != test.want {
			t.Errorf("%s = %#v, %v; want %#v", test.src, got, err, test.want)
		}
	}
}

func TestCompileExpressionErrors(t *testing.T) {
	tests := []struct{ src, want string }{
		{``, "EOF"},
		{`full_name +`, "EOF"},
		{`fist(role)`, "unknown function fist (1:1)"},
		{`column(role)`, "unknown function column"},
		{`role.upper()`, "unknown function"},
		{`now()`, "unknown function now"},
		{`repeat(role, 1000000)`, "unknown function repeat"},
		{`map(role, #)`, "unknown function map"},
		{`all(1..9, # > 0)`, "unknown function all"},
		{`1..9`, "operator .. is not allowed"},
		{`id * 2`, "operator * is not allowed (1:4)"},
		{`-id`, "operator - is not allowed on values"},
		{`let x = 1; x`, "not allowed"},
		{`1; 2`, "not allowed"},
		{`role[0:2]`, "not allowed"},
		{`$env`, "$env takes the name of a column"},
		{`$env[role]`, "the name of a column must be a constant"},
		{`{(role): 1}`, "the key of a map must be a constant"},
		{`role matches pattern`, "must be a constant"},
		{`role matches "("`, "missing closing )"},
		{`first()`, "not enough arguments to call first"},
		{`truncate(role)`, "not enough arguments to call truncate"},
		{`truncate(role, "3")`, "truncate"},
		{`trim(role, "x")`, "too many arguments to call trim"},
		{strings.Repeat("(", 5000), "longer than"},
		{`[` + strings.Repeat("1,", 1000) + `1]`, "maximum allowed nodes"},
	}
	for _, test := range tests {
		_, err := CompileExpression(test.src)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.60s: error %v, want %q", test.src, err, test.want)
		}
	}
}

// Errors say where, never on what value.
func TestExpressionEvalErrors(t *testing.T) {
	place := regexp.MustCompile(`^expression fails at 1:\d+$`)
	const secret = "s3cret"
	row := map[string]any{
		"s":   secret,
		"i":   int64(31337),
		"big": strings.Repeat(secret, 100_000),
		"map": map[string]any{secret: secret},
	}
	for _, src := range []string{
		`s ? 1 : 2`, `i + i`, `s < i`, `s.member`, `s[0]`, `map + s`, `s in s`, `truncate(s, -1)`,
		`upper(map)`, `big + big`, `truncate(s, i)`, `e164(map, s)`, `iso639_1(map)`, `[s][s]`, `map[map]`,
	} {
		e, err := CompileExpression(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		v, err := e.Eval(ColumnsOf(row))
		if err == nil {
			t.Errorf("%s = %v, want an error", src, v)
		} else if !place.MatchString(err.Error()) {
			t.Errorf("%s: %q is not the text of an evaluation error", src, err)
		}
	}
}

func TestExpressionColumns(t *testing.T) {
	e, err := CompileExpression(`first(b, trim(a + " " + $env["c d"]), role == "x" ? b : attrs.plan)`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a", "attrs", "b", "c d", "role"}
	if got := e.Columns(); !reflect.DeepEqual(got, want) {
		t.Errorf("columns %q, want %q", got, want)
	}
}

// The race detector is the judge here.
func TestExpressionConcurrentEval(t *testing.T) {
	e, err := CompileExpression(`first(full_name, trim(first_name + " " + last_name), e164(phone, "ID"))`)
	if err != nil {
		t.Fatal(err)
	}
	var wg gosync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if v, err := e.Eval(ColumnsOf(expressionRow)); v != "Ann" || err != nil {
					t.Errorf("Eval = %v, %v", v, err)
				}
			}
		})
	}
	wg.Wait()
}

// A machine is used again. Whatever an evaluation came to, nothing of its row may stay
// there, nor any of its state.
func TestExpressionLeavesNothingInTheMachine(t *testing.T) {
	used := 0
	for _, src := range []string{
		`first_name + " " + first_name`,
		`first(full_name, trim(first_name + " " + blank))`,
		`[first_name, attrs, [id, toast]]`,                  // ends in the middle
		`[first_name, [phone, attrs + ""]]`,                 // fails there
		`truncate(first_name, id)`,                          // a wrong type
		`{"a": first_name, "b": attrs}[role]`,               // builds a map
		"[" + strings.Repeat(`first_name, `, 200) + `role]`, // a deep stack
	} {
		e, err := CompileExpression(src)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 { // the race detector has the pool drop some
			_, _ = e.Eval(ColumnsOf(expressionRow))
			machine := machines.Get().(*vm.VM)
			stack := machine.Stack[:cap(machine.Stack)]
			if cap(stack) > 0 {
				used++
			}
			if i := slices.IndexFunc(stack, func(v any) bool { return v != nil }); i >= 0 {
				t.Fatalf("%.50s leaves %v in the machine", src, stack[i])
			}
			if left := *machine; !reflect.DeepEqual(left, vm.VM{Stack: stack[:0]}) {
				t.Fatalf("%.50s leaves the machine as %+v", src, left)
			}
		}
	}
	if used == 0 {
		t.Error("no machine was used again")
	}
}
