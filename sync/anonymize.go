package sync

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// userColumn is all that is known of a deleted user: a delete has only its key.
const userColumn = "user_id"

func onlyUser(id string) Columns { return ColumnsOf(map[string]any{userColumn: id}) }

// newAnonymous compiles what c sends for a delete. Whatever c may ever have sent of a
// user has to be replaced, or the vendor would go on holding it.
func newAnonymous(c MappingConfig) (*Mapping, error) {
	null := c.OnNull
	if null == NullOmit {
		null = NullEmpty // what is not sent stays there
	}
	m, err := NewMapping(MappingConfig{
		Fields: c.Fields, Expressions: c.Anonymize, OnNull: null, PhoneRegion: c.PhoneRegion, PhoneFormat: c.PhoneFormat,
	})
	if err != nil {
		return nil, anonymizeError(err)
	}
	errs := left(c)
	for i := range m.fields {
		for _, e := range m.fields[i].expressions() {
			for _, column := range e.columns {
				if column != userColumn {
					errs = append(errs, fmt.Errorf("%s: reads %s; a delete has no columns but %s", m.fields[i].Name, column, userColumn))
				}
			}
		}
	}
	if len(errs) == 0 {
		errs = m.try()
	}
	if err := errors.Join(errs...); err != nil {
		return nil, anonymizeError(err)
	}
	return m, nil
}

// left lists the fields, and entries of fields, that are mapped and not replaced.
func left(c MappingConfig) (errs []error) {
	for _, name := range slices.Sorted(maps.Keys(c.Expressions)) {
		entries, _ := c.Expressions[name].(map[string]any)
		replaced, _ := c.Anonymize[name].(map[string]any)
		switch {
		case c.Expressions[name] == nil:
		case c.Anonymize[name] == nil:
			errs = append(errs, fmt.Errorf("%s: is mapped, so it needs a value to replace what was sent, such as '\"\"'", name))
		default:
			for _, entry := range slices.Sorted(maps.Keys(entries)) {
				if replaced[entry] == nil {
					errs = append(errs, fmt.Errorf("%s.%s: is mapped, so it needs a value to replace what was sent, such as '\"\"'", name, entry))
				}
			}
		}
	}
	return errs
}

// try makes the payload for some user. Only constants are in it, so it fails now or
// never.
func (m *Mapping) try() (errs []error) {
	_, omissions, err := m.payload("1", onlyUser("1"))
	if e, ok := errors.AsType[*InvalidError](err); ok {
		errs = append(errs, fmt.Errorf("%s: has no usable value: %s", e.Field, e.Code))
	}
	for _, o := range omissions {
		if o.Reason == omittedInvalid {
			errs = append(errs, fmt.Errorf("%s: is not a value that the destination could use", o.Field))
		}
	}
	return errs
}

// anonymizeError says of each joined error whose it is.
func anonymizeError(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("anonymize.%w", err)
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, anonymizeError(e))
	}
	return errors.Join(errs...)
}
