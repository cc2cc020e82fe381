// Package cdc_test holds what databases do against what becomes of it: real tables,
// changed in every way, read by connectors in every configuration that docs/events.md
// names, and in the end both vendors of each hold what the tables do.
package cdc_test

import (
	"testing"
	"time"

	"usersync/e2e/pipeline"
)

// publication is what all connectors read.
const publication = "everything"

// TestTables is one world with many cases, since what is expensive is to start it.
func TestTables(t *testing.T) {
	w := newWorld(t, pipeline.New(t, pipeline.Config{}))
	began := time.Now()
	done := func(what string) {
		t.Logf("%5.1f s: %s", time.Since(began).Seconds(), what)
	}
	w.create()
	early := w.castAll()
	columns, emptied := w.cast(&columnsComeAndGo, tables[4]), w.cast(&truncated, tables[5])
	for _, c := range append(early, columns, emptied) {
		w.setup(c)
	}
	w.fill()
	w.launch()
	done("all connectors and workers run")
	w.check("the snapshot")
	w.covered()
	done("the snapshot")

	late := w.castAll()
	for _, c := range late {
		w.setup(c)
	}
	w.check("the setup of cases")
	done("the setup of cases")
	for _, c := range append(early, late...) {
		w.change(c)
	}
	for _, c := range w.castAll() { // in one go: the changes of a user meet while they wait
		w.setup(c)
		w.change(c)
	}
	w.strangeIDs()
	w.change(emptied)
	w.exec("a", "select pg_logical_emit_message(true, 'note', 'text')")
	w.check("the changes")
	done("the changes")

	users := w.busy()
	w.play(columns, columnAdded)
	w.readAgain(users)
	w.check("all was read again")
	done("all was read again")
	w.play(columns, columnRenamed)
	w.check("a column was renamed")
	w.play(columns, columnRenamedBack)
	w.check("it was named as before")
	w.play(columns, columnDropped)
	w.check("a column was dropped")
	done("columns")

	w.killConnect(users)
	done("Connect was killed")
	w.checkLetters()
	for _, r := range w.readers {
		r.checkEvents(t)
		r.worker.Stop()
	}
}
