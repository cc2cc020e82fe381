package event

// scratch is what the reading of one record needs for as long as it takes. It is
// used again for another record, so that reading costs no memory but the result's.
type scratch struct {
	value, key outline
	ids        []cell // of the columns of the user-ID expression
	idValues   []any  // the same, decoded
	cells      []cell // of the mapped columns
}

// maxMembers is how many members an outline may have to be used again: one record of
// a million must not take its memory for as long as the process runs.
const maxMembers = 1 << 12

func (d *Decoder) take() *scratch {
	if in, ok := d.scratches.Get().(*scratch); ok {
		return in
	}
	return &scratch{
		value:    outline{levels: recordLevels},
		key:      outline{levels: recordLevels},
		ids:      make([]cell, len(d.userColumns)),
		idValues: make([]any, len(d.userColumns)),
		cells:    make([]cell, len(d.columns)),
	}
}

// give takes in back, without anything of the record.
func (d *Decoder) give(in *scratch) {
	for _, o := range []*outline{&in.value, &in.key} {
		o.text = nil
		if cap(o.members) > maxMembers {
			o.members = nil
		}
	}
	clear(in.ids)
	clear(in.cells)
	clear(in.idValues)
	d.scratches.Put(in)
}
