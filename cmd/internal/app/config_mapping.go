package app

import (
	"slices"
	"strings"

	"usersync/consumer/event"
	usync "usersync/sync"
	"usersync/sync/haptik"
	"usersync/sync/taptalk"
)

// mapping compiles what the chat is sent.
func (t *TapTalk) mapping() (*usync.Mapping, error) { return t.compile(taptalk.Fields) }

// mapping compiles what the support bot is sent.
func (h *Haptik) mapping() (*usync.Mapping, error) { return h.compile(haptik.Fields) }

func (d *Delivery) compile(fields []usync.Field) (*usync.Mapping, error) {
	c := usync.MappingConfig{
		Fields:        fields,
		Expressions:   d.Mapping,
		OnNull:        d.OnNull,
		OnUnavailable: d.OnUnavailable,
		PhoneRegion:   d.PhoneRegion,
	}
	if d.Deletes == "anonymize" {
		c.Anonymize = d.Anonymize
	}
	return usync.NewMapping(c)
}

// decoder returns what reads the records for a mapping that uses columns.
func (e *Events) decoder(columns []string) (*event.Decoder, error) {
	return event.New(event.Config{
		Format:      e.Format,
		Tables:      e.Tables,
		UserID:      e.UserID,
		Placeholder: e.UnavailablePlaceholder,
		Columns:     columns,
	})
}

// destinationProblems finds what only compiling the mappings and making the
// clients can tell.
func (c *Config) destinationProblems() []Problem {
	var ps []Problem
	if t := c.TapTalk; t != nil {
		_, mappingErr := t.mapping()
		_, err := t.client(nil)
		section := "destinations." + taptalkName
		ps = slices.Concat(ps, fieldProblems(mappingErr, section, taptalk.Fields), clientProblems(err, section))
	}
	if h := c.Haptik; h != nil {
		_, mappingErr := h.mapping()
		_, err := h.client(nil)
		section := "destinations." + haptikName
		ps = slices.Concat(ps, fieldProblems(mappingErr, section, haptik.Fields), clientProblems(err, section))
	}
	return ps
}

// clientProblems places the errors of making a client: each begins with a key. A
// credential that has a file of its own is at fault there.
func clientProblems(err error, section string) []Problem {
	ps := named(err)
	for i := range ps {
		ps[i].Key = section + "." + ps[i].Key
		ps[i].needs = []string{ps[i].Key + "_file"}
	}
	return ps
}

// fieldProblems places the errors of a mapping: each begins with a field, or
// with the key of the section that it is about.
func fieldProblems(err error, section string, fields []usync.Field) []Problem {
	var names []string
	for _, f := range fields {
		if f.Kind != usync.ID {
			names = append(names, f.Name)
		}
	}
	ps := named(err)
	for i := range ps {
		p := &ps[i]
		mapping := ".mapping."
		if rest, ok := strings.CutPrefix(p.Key, "anonymize."); ok {
			p.Key, mapping = rest, ".anonymize."
		}
		name, _, _ := strings.Cut(p.Key, ".")
		switch {
		case slices.Contains([]string{"on_null", "on_unavailable", "phone_region"}, name):
			p.Key = section + "." + name
		case slices.ContainsFunc(fields, func(f usync.Field) bool { return f.Name == name }):
			p.Key = section + mapping + p.Key
		default:
			p.Key = section + mapping + p.Key
			p.Text += "; use one of " + strings.Join(names, ", ")
		}
	}
	return ps
}

// eventProblems finds what only the decoder can tell.
func (c *Config) eventProblems() []Problem {
	_, err := c.Events.decoder(nil)
	ps := named(err)
	for i := range ps {
		ps[i].Key = "events." + ps[i].Key
	}
	return ps
}

// named splits joined errors of the form "name: text" up. An expression's error
// goes on with a drawing of where it is wrong; its first line says so too.
func named(err error) []Problem {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var ps []Problem
		for _, e := range joined.Unwrap() {
			ps = append(ps, named(e)...)
		}
		return ps
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	name, text, _ := strings.Cut(first, ": ")
	return []Problem{{Key: name, Text: text}}
}
