package sync

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// NullPolicy says what is sent for an optional value that is NULL. A blank value
// and one that a vendor could not use count as NULL: the vendor must not go on
// showing the value before it.
type NullPolicy string

// The null policies.
const (
	NullEmpty NullPolicy = "empty" // "", or {} for an Object; the default
	NullNull  NullPolicy = "null"  // null
	NullOmit  NullPolicy = "omit"  // nothing: the vendor keeps its old value
)

// UnavailablePolicy says what happens to a field whose value is not known.
type UnavailablePolicy string

// The policies for unavailable values.
const (
	UnavailableOmit UnavailablePolicy = "omit" // not sent; the default
	UnavailableFail UnavailablePolicy = "fail" // the change has no payload
)

// MappingConfig describes how a row becomes the payload of one destination.
type MappingConfig struct {
	// Fields are the destination's, in the order of the payload.
	Fields []Field
	// Expressions holds, by the name of a field, the source of its expression;
	// for an Object field a map[string]any from the name of an entry to its
	// source. A field without one, or with nil, is never sent. The ID field has
	// none: it is Change.User.
	Expressions map[string]any
	// Anonymize holds the same for what a delete sends; nil: a delete needs no call.
	// The only column is user_id. Each field, and each entry of an Object, that has an
	// expression above needs one here.
	Anonymize     map[string]any
	OnNull        NullPolicy
	OnUnavailable UnavailablePolicy
	PhoneRegion   string // ISO 3166 code for numbers without a country code; may be empty
	PhoneFormat   string // "digits" (the default), "e164" or "national"
}

// Mapping turns changes into payloads. It is safe for concurrent use.
type Mapping struct {
	fields                   []mappedField
	columns                  []string
	deletes                  *Mapping // what a delete sends; nil: nothing
	onNull                   NullPolicy
	onUnavailable            UnavailablePolicy
	phoneRegion, phoneFormat string
}

type mappedField struct {
	Field
	expression *Expression   // nil for an ID or an Object
	entries    []objectEntry // of an Object, sorted by name
	again      bool          // has the value of the field before it
}

// alike reports whether two fields always have the same value: they have the same column
// and what may be in it is the same, as two sizes of a picture with one address.
func (f *mappedField) alike(g *mappedField) bool {
	return f.expression != nil && g.expression != nil &&
		f.expression.column != "" && f.expression.column == g.expression.column &&
		f.Kind == g.Kind && f.Max == g.Max
}

// Omission is an optional field that the payload does not carry a value for.
type Omission struct {
	Field  string // the destination's name; an entry of an Object as "field.entry"
	Reason string // "null", "invalid", "unavailable" or "no_column"
}

const (
	omittedNull        = "null"        // NULL or blank: the null policy was applied
	omittedInvalid     = "invalid"     // there was a value, but it is of no use to the vendor: treated as NULL
	omittedUnavailable = "unavailable" // the value is not known: nothing was sent
	omittedNoColumn    = "no_column"   // nor is it here, for the row has no such column
)

// reason returns why a field that needs the column is omitted.
func (u Unavailable) reason() string {
	if u.NoColumn {
		return omittedNoColumn
	}
	return omittedUnavailable
}

// Partial reports whether what [Mapping.Payload] gave lacks a value that the source has
// left out of the row: an older change may have told it, so what was sent for the row
// is not known.
func Partial(omitted []Omission, err error) bool {
	return lacks(omitted, err, omittedUnavailable)
}

// lacks reports whether there is no payload, or a field is omitted, for one of the reasons.
func lacks(omitted []Omission, err error, reasons ...string) bool {
	if e, ok := errors.AsType[*InvalidError](err); ok {
		return slices.Contains(reasons, e.Code)
	}
	return slices.ContainsFunc(omitted, func(o Omission) bool { return slices.Contains(reasons, o.Reason) })
}

// NewMapping compiles c. The error joins everything that is wrong, each problem
// with the name of its field.
func NewMapping(c MappingConfig) (*Mapping, error) {
	m := &Mapping{
		onNull:        or(c.OnNull, NullEmpty),
		onUnavailable: or(c.OnUnavailable, UnavailableOmit),
		phoneRegion:   c.PhoneRegion,
		phoneFormat:   or(c.PhoneFormat, phoneDigits),
	}
	errs := m.checkPolicies()
	known := map[string]bool{}
	columns := map[string]bool{}
	for _, field := range c.Fields {
		known[field.Name] = true
		f, err := compileField(field, c.Expressions[field.Name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if f == nil {
			continue
		}
		for _, e := range f.expressions() {
			for _, name := range e.columns {
				columns[name] = true
			}
		}
		if n := len(m.fields); n > 0 {
			f.again = m.fields[n-1].alike(f)
		}
		m.fields = append(m.fields, *f)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Expressions)) {
		if !known[name] {
			errs = append(errs, fmt.Errorf("%s: the destination has no such field", name))
		}
	}
	if c.Anonymize != nil {
		var err error
		if m.deletes, err = newAnonymous(c); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	m.columns = slices.Sorted(maps.Keys(columns))
	return m, nil
}

func (m *Mapping) checkPolicies() (errs []error) {
	if !slices.Contains([]NullPolicy{NullEmpty, NullNull, NullOmit}, m.onNull) {
		errs = append(errs, fmt.Errorf("on_null: %q is not empty, null or omit", m.onNull))
	}
	if !slices.Contains([]UnavailablePolicy{UnavailableOmit, UnavailableFail}, m.onUnavailable) {
		errs = append(errs, fmt.Errorf("on_unavailable: %q is not omit or fail", m.onUnavailable))
	}
	if !slices.Contains([]string{phoneDigits, phoneE164, phoneNational}, m.phoneFormat) {
		errs = append(errs, fmt.Errorf("phone_format: %q is not digits, e164 or national", m.phoneFormat))
	}
	if m.phoneRegion != "" && !phonenumbers.GetSupportedRegions()[m.phoneRegion] {
		errs = append(errs, fmt.Errorf("phone_region: %q is not the ISO 3166 code of a region, such as ID", m.phoneRegion))
	}
	return errs
}

// compileField returns nil for a field that is not sent.
func compileField(field Field, source any) (*mappedField, error) {
	f := &mappedField{Field: field}
	switch {
	case field.Kind == ID:
		if source != nil {
			return nil, fmt.Errorf("%s: is the user ID and cannot be mapped; see events.user_id", field.Name)
		}
		return f, nil
	case source == nil:
		if field.Required {
			return nil, fmt.Errorf("%s: is required and has no expression", field.Name)
		}
		return nil, nil
	case field.Kind == Object:
		var err error
		f.entries, err = compileEntries(field.Name, source)
		return f, err
	}
	var err error
	f.expression, err = compileSource(field.Name, source)
	return f, err
}

func compileSource(name string, source any) (*Expression, error) {
	src, ok := source.(string)
	if !ok {
		return nil, fmt.Errorf("%s: must be an expression in text", name)
	}
	e, err := CompileExpression(src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

func (f *mappedField) expressions() []*Expression {
	if f.expression != nil {
		return []*Expression{f.expression}
	}
	var all []*Expression
	for _, e := range f.entries {
		all = append(all, e.expression)
	}
	return all
}

// Columns returns the names of the columns that the mapping reads, sorted.
func (m *Mapping) Columns() []string { return slices.Clone(m.columns) }

// Payload returns what c sends, and which optional values of the row it leaves out
// and why. The error is an *InvalidError. The same change always gives the same
// bytes. There are none if c is a delete that needs no call.
func (m *Mapping) Payload(c *Change) (Payload, []Omission, error) {
	switch {
	case c.Op == Upsert:
		return m.payload(c.User, c.Columns)
	case m.deletes == nil:
		return Payload{User: c.User}, nil, nil
	default:
		p, _, err := m.deletes.payload(c.User, onlyUser(c.User))
		return p, nil, err
	}
}

func (m *Mapping) payload(user string, row Columns) (Payload, []Omission, error) {
	w := newObjectWriter()
	var omissions []Omission
	var value fieldValue
	for i := range m.fields {
		f := &m.fields[i]
		var reason string
		var err error
		switch f.Kind {
		case ID:
			err = f.writeID(w, user)
		case Object:
			var left []Omission
			left, err = m.writeEntries(w, f, row)
			omissions = append(omissions, left...)
		default:
			if !f.again {
				value = m.value(f, row)
			}
			reason, err = m.write(w, f, value)
		}
		if err != nil {
			return Payload{}, nil, err
		}
		if reason != "" {
			omissions = append(omissions, Omission{Field: f.Name, Reason: reason})
		}
	}
	return Payload{User: user, Body: w.close()}, omissions, nil
}

// writeID sends the ID as it is: two users must never become one, so it is
// neither shortened nor cleaned.
func (f *mappedField) writeID(w *objectWriter, id string) error {
	switch {
	case strings.TrimSpace(id) == "":
		return &InvalidError{Field: f.Name, Code: "missing"}
	case !utf8.ValidString(id): // JSON would replace the bytes
		return &InvalidError{Field: f.Name, Code: "invalid"}
	case f.Max > 0 && longer(id, f.Max):
		return &InvalidError{Field: f.Name, Code: "too_long"}
	}
	w.text(f.Name, id)
	return nil
}

// fieldValue is what a field's expression gives for a row.
type fieldValue struct {
	text    string // "" is NULL, or blank
	usable  bool   // by the destination
	unknown string // why it is not known; "" if it is
	err     error  // of the expression
}

func (m *Mapping) value(f *mappedField, row Columns) fieldValue {
	v, err := f.expression.Eval(row)
	if err != nil {
		return fieldValue{err: err}
	}
	if u, ok := v.(Unavailable); ok {
		return fieldValue{unknown: u.reason()}
	}
	s, ok := m.normalize(f.Field, v)
	return fieldValue{text: s, usable: ok}
}

// write adds the field to w, or says why it has no value.
func (m *Mapping) write(w *objectWriter, f *mappedField, v fieldValue) (reason string, err error) {
	switch {
	case v.unknown != "" && (f.Required || m.onUnavailable == UnavailableFail):
		return "", &InvalidError{Field: f.Name, Code: v.unknown}
	case v.unknown != "":
		return v.unknown, nil
	case v.usable && v.text != "":
		w.text(f.Name, v.text)
		return "", nil
	case f.Required && v.err != nil:
		return "", &InvalidError{Field: f.Name, Code: "expression"}
	case f.Required && v.usable:
		return "", &InvalidError{Field: f.Name, Code: "missing"}
	case f.Required:
		return "", &InvalidError{Field: f.Name, Code: "invalid"}
	}
	m.writeNull(w, f.Name, `""`)
	if v.usable {
		return omittedNull, nil
	}
	return omittedInvalid, nil
}

// normalize returns the text to send for v. It is empty for a blank value, and
// not ok if the destination could not use the value.
func (m *Mapping) normalize(f Field, v any) (s string, ok bool) {
	s, ok = asText(v)
	if !ok {
		return "", false
	}
	if s = cleanText(s); s == "" {
		return "", true
	}
	switch f.Kind {
	case Email:
		s, ok = normalizeEmail(s)
	case Phone:
		s, ok = normalizePhone(s, m.phoneRegion, m.phoneFormat)
	case URL:
		s, ok = normalizeURL(s)
	case Language:
		s, ok = normalizeLanguage(s)
	default:
		if f.Max > 0 {
			s = cut(s, f.Max)
		}
	}
	if !ok || f.Max > 0 && longer(s, f.Max) {
		return "", false
	}
	return s, true
}

// writeNull adds what stands for NULL under the policy, if anything does.
func (m *Mapping) writeNull(w *objectWriter, name, empty string) {
	switch m.onNull {
	case NullEmpty:
		w.raw(name, empty)
	case NullNull:
		w.raw(name, "null")
	case NullOmit:
	}
}

// or returns v, or the default if v is not set.
func or[T ~string](v, def T) T {
	if v == "" {
		return def
	}
	return v
}
