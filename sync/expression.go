package sync

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// The bounds of an expression. What it may do is linear in its size: there are
// no loops, no ranges and no regular expressions that come from a row.
const (
	maxSource = 4096    // bytes of source: nesting by brackets alone costs the parser stack
	maxNodes  = 512     // nodes of the syntax tree
	maxText   = 1 << 20 // bytes of one text that an expression makes
	maxMemory = 4096    // elements of all arrays and maps that one evaluation builds
)

// Expression computes one value from a row's columns. The syntax is that of
// expr-lang/expr; what the operators and functions do with NULL, numbers and
// unavailable columns is decided here, because there the defaults of a general
// language would hand wrong values to a vendor (see docs/mapping.md).
//
// An Expression is safe for concurrent use.
type Expression struct {
	columns []string
	// column is set when the expression is nothing but a column, as most are:
	// it is looked up without running the program.
	column  string
	program *vm.Program
}

// CompileExpression compiles src. The error quotes src and says where it is wrong.
func CompileExpression(src string) (*Expression, error) {
	if len(src) > maxSource {
		return nil, fmt.Errorf("expression is longer than %d bytes", maxSource)
	}
	config := conf.CreateNew()
	// The built-in functions go: some are not deterministic (now), some are not
	// bounded (repeat), and all of them fail on NULL.
	for name := range config.Builtins {
		config.Disabled[name] = true
	}
	clear(config.Builtins)
	config.Optimize = false
	config.MaxNodes = maxNodes
	for name, f := range functions {
		expr.Function(internal(name), f.call, f.signature)(config)
	}
	tree, err := parser.ParseWithConfig(src, config)
	if err != nil {
		return nil, err
	}
	e := new(Expression)
	if id, ok := tree.Node.(*ast.IdentifierNode); ok {
		e.column = id.Value
	}
	r := rewriter{columns: map[string]bool{}}
	r.rewrite(&tree.Node)
	if r.err != nil {
		return nil, r.err.Bind(tree.Source)
	}
	// The rewritten tree is larger, by a bounded factor.
	config.MaxNodes = 0
	if _, err := checker.Check(tree, config); err != nil {
		return nil, err
	}
	e.columns = slices.Sorted(maps.Keys(r.columns))
	e.program, err = compiler.Compile(tree, config)
	return e, err
}

// Columns returns the names of the columns that the expression may read, sorted.
func (e *Expression) Columns() []string { return slices.Clone(e.columns) }

// Eval computes the value for row. It returns Unavailable if it had to read a
// column whose value is not known; one that row does not have counts as such.
// A column that the evaluation did not come to, such as the later arguments of
// first, is not read. The error says where the expression failed, never on what
// value.
func (e *Expression) Eval(row Columns) (any, error) {
	if e.column != "" {
		v, unknown := read(row, e.column)
		if unknown != nil {
			return unknown.Unavailable, nil //nolint:nilerr // as a value, for a mapping may do without it
		}
		return v, nil
	}
	v, err := e.run(row)
	if err == nil {
		return v, nil
	}
	if unknown, ok := errors.AsType[*unavailableError](err); ok {
		return unknown.Unavailable, nil
	}
	// The text of err may quote a value. Only its place is passed on.
	if at, ok := errors.AsType[*file.Error](err); ok {
		return nil, fmt.Errorf("expression fails at %d:%d", at.Line, at.Column+1)
	}
	return nil, errors.New("expression fails")
}

// machines are kept for the stacks that they have grown.
var machines = sync.Pool{New: func() any { return new(vm.VM) }}

// run runs the program in a machine that is new but for the room on its stack, and
// leaves nothing of row in there. A panic of the machine or of a function comes back
// as an error.
func (e *Expression) run(row Columns) (any, error) {
	machine := machines.Get().(*vm.VM)
	machine.MemoryBudget = maxMemory
	v, err := machine.Run(e.program, row)
	stack := machine.Stack[:cap(machine.Stack)]
	clear(stack)
	*machine = vm.VM{Stack: stack[:0]}
	machines.Put(machine)
	return v, err
}

// unavailableError ends an evaluation that reads an unavailable column.
type unavailableError struct{ Unavailable }

func (*unavailableError) Error() string { return "column is unavailable" }

// read returns the value of a column, or what kind of unavailable it is.
func read(row Columns, name string) (any, *unavailableError) {
	v, ok := row.Get(name)
	if !ok {
		return nil, &unavailableError{Unavailable{NoColumn: true}}
	}
	if u, ok := v.(Unavailable); ok {
		return nil, &unavailableError{u}
	}
	if unavailable(v) {
		return nil, new(unavailableError)
	}
	return v, nil
}

// unavailable reports whether v, or a part of it, is not known.
func unavailable(v any) bool {
	switch v := v.(type) {
	case Unavailable:
		return true
	case []any:
		return slices.ContainsFunc(v, unavailable)
	case map[string]any:
		for _, e := range v {
			if unavailable(e) {
				return true
			}
		}
	}
	return false
}

// internal is the name under which a function is compiled. No column can be
// called so, and a column may have the name of a function.
func internal(name string) string { return name + "()" }

// rewriter checks a syntax tree against what is allowed, gathers its columns,
// and replaces every operator that reads values by a call of a function.
type rewriter struct {
	columns map[string]bool
	err     *file.Error // the first one
}

func (r *rewriter) fail(at ast.Node, format string, args ...any) {
	if r.err == nil {
		r.err = &file.Error{Location: at.Location(), Message: fmt.Sprintf(format, args...)}
	}
}

func (r *rewriter) rewrite(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
	case *ast.IdentifierNode:
		r.column(node, n.Value)
	case *ast.ChainNode: // a?.b is the same as a.b: a member of NULL is NULL
		*node = n.Node
		r.rewrite(node)
	case *ast.MemberNode:
		r.member(node, n)
	case *ast.CallNode:
		r.call(node, n)
	case *ast.BuiltinNode: // map, filter, ...: loops
		r.fail(n, "unknown function %s", n.Name)
	case *ast.UnaryNode:
		r.unary(n)
	case *ast.BinaryNode:
		r.binary(node, n)
	case *ast.ConditionalNode:
		r.wrap("truth", &n.Cond)
		r.rewrite(&n.Exp1)
		r.rewrite(&n.Exp2)
	case *ast.ArrayNode:
		for i := range n.Nodes {
			r.rewrite(&n.Nodes[i])
		}
	case *ast.MapNode:
		for _, p := range n.Pairs {
			pair := p.(*ast.PairNode)
			if _, ok := pair.Key.(*ast.StringNode); !ok {
				r.fail(pair.Key, "the key of a map must be a constant")
			}
			r.rewrite(&pair.Value)
		}
	default:
		r.fail(n, "not allowed in a mapping")
	}
}

func (r *rewriter) column(node *ast.Node, name string) {
	if name == "$env" { // the whole row
		r.fail(*node, "$env takes the name of a column: $env[\"first name\"]")
	}
	r.columns[name] = true
	replace(node, "column", &ast.IdentifierNode{Value: "$env"}, &ast.StringNode{Value: name})
}

func (r *rewriter) member(node *ast.Node, n *ast.MemberNode) {
	// $env["first name"] is how expr-lang writes a name that is no identifier.
	if id, ok := n.Node.(*ast.IdentifierNode); ok && id.Value == "$env" {
		name, ok := n.Property.(*ast.StringNode)
		if !ok {
			r.fail(n, "the name of a column must be a constant")
			return
		}
		r.column(node, name.Value)
		return
	}
	r.rewrite(&n.Node)
	r.rewrite(&n.Property)
	replace(node, "member", n.Node, n.Property)
}

func (r *rewriter) call(node *ast.Node, n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || !functions[callee.Value].public {
		r.fail(n, "unknown function %v", n.Callee)
		return
	}
	if callee.Value == "first" {
		r.first(node, n)
		return
	}
	for i := range n.Arguments {
		r.rewrite(&n.Arguments[i])
	}
	callee.Value = internal(callee.Value)
}

// first turns first(a, b) into solid(a) ?? solid(b): the arguments of a call are
// all evaluated, but the right side of ?? only when it is needed. So a column
// behind the one that decides may well be unavailable.
func (r *rewriter) first(node *ast.Node, n *ast.CallNode) {
	if len(n.Arguments) == 0 {
		r.fail(n, "not enough arguments to call first")
		return
	}
	for i := range n.Arguments {
		r.wrap("first", &n.Arguments[i])
	}
	*node = n.Arguments[0]
	for _, a := range n.Arguments[1:] {
		*node = &ast.BinaryNode{Operator: "??", Left: *node, Right: a}
		(*node).SetLocation(n.Location())
	}
}

func (r *rewriter) unary(n *ast.UnaryNode) {
	switch n.Operator {
	case "not", "!":
		r.wrap("truth", &n.Node)
		return
	case "-", "+":
		switch n.Node.(type) {
		case *ast.IntegerNode, *ast.FloatNode:
			return
		}
	}
	r.fail(n, "operator %s is not allowed on values", n.Operator)
}

func (r *rewriter) binary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "and", "&&", "or", "||":
		r.wrap("truth", &n.Left)
		r.wrap("truth", &n.Right)
	case "??":
		r.rewrite(&n.Left)
		r.rewrite(&n.Right)
	case "contains", "startsWith", "endsWith":
		r.wrap("text", &n.Left)
		r.wrap("text", &n.Right)
	case "matches":
		if _, ok := n.Right.(*ast.StringNode); !ok {
			r.fail(n.Right, "the pattern of matches must be a constant")
		}
		r.wrap("text", &n.Left)
	case "+", "==", "!=", "<", "<=", ">", ">=", "in":
		r.rewrite(&n.Left)
		r.rewrite(&n.Right)
		replace(node, n.Operator, n.Left, n.Right)
	default: // arithmetic: it would not keep integers exact
		r.fail(n, "operator %s is not allowed", n.Operator)
	}
}

// wrap rewrites node and hands its value to a function.
func (r *rewriter) wrap(function string, node *ast.Node) {
	r.rewrite(node)
	replace(node, function, *node)
}

func replace(node *ast.Node, function string, args ...ast.Node) {
	callee := &ast.IdentifierNode{Value: internal(function)}
	at := (*node).Location()
	*node = &ast.CallNode{Callee: callee, Arguments: args}
	(*node).SetLocation(at)
}
