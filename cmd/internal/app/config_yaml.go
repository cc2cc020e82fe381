package app

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// entries returns the names and values of a section. A section whose keys are
// all commented out is null, and that is a section without keys.
func entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, true
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	default:
		return nil, false
	}
}

// scalar returns a single value as it is written.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}

func isNull(n ast.Node) bool {
	_, ok := n.(*ast.NullNode)
	return ok
}

// describe names what n is, for a message that says what it should be. Anchors,
// aliases, merges and tags are refused: they make it hard to say which line a
// value came from.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.NullNode:
		return "nothing; give a value, or remove the key"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias; write the value out"
	case *ast.TagNode:
		return "a tag; write the value in quotes"
	default:
		return "a single value"
	}
}

func line(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

// expand replaces ${VAR} by the variable, and ${VAR:-default} by the default if
// the variable is unset or empty. It works on a scalar that was parsed already,
// so a variable's value can neither add keys nor name another variable; that
// makes a variable, or a file, the place for a value that holds "${" itself.
func expand(s string, env func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		inner, after, closed := strings.Cut(rest, "}")
		name, fallback, hasFallback := strings.Cut(inner, ":-")
		if !closed || !isName(name) {
			return "", errors.New("has ${ without a variable's name and a }; write ${NAME} or ${NAME:-default}")
		}
		value, set := env(name)
		switch {
		case hasFallback && value == "":
			value = fallback
		case !set:
			return "", fmt.Errorf("the variable %s is not set; set it, or write ${%[1]s:-default}", name)
		}
		b.WriteString(value)
		s = after
	}
}

// isName reports whether s can be the name of a variable.
func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
