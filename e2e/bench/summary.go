package main

import "slices"

// stat is a figure over all rounds.
type stat struct{ Median, Min, Max float64 }

// row is what came of one contender in a cell. Each ratio is of two figures of the same
// round. A figure that there is none of is nil.
type row struct {
	Contender string
	// WallLeast is the time between the first call and the last one, over what the calls
	// take at the least; WallLoop is it over that of the bare loop.
	WallLeast, WallLoop *stat
	// CallsUser are calls for each user that changed.
	CallsUser *stat
	// CPUBare is the CPU of a call over that of a bare call, and of its share of fetching
	// and decoding all records once.
	CPUBare *stat
	// CPUValid is the CPU of a record over that of fetching it and json.Valid.
	CPUValid            *stat
	CPUCall, CPURecord  *stat // microseconds
	Peak                *stat // MB
	PeakLoop            *stat
	Wall                *stat // seconds
	First               *stat // seconds from joining to the first call, of groups
	Calls, Stale, Wrong stat
	Share               float64 // the smallest
}

// figure is something that a run is measured by; ok is false if it was not measured.
type figure func(r run, others map[string]run) (value float64, ok bool)

// summarise returns a row for each contender, in the order of the list of all.
func summarise(r result) []row {
	var rows []row
	for _, c := range contenders {
		of := func(f figure) *stat { return r.over(c.name, f) }
		count := func(f func(run) int) stat {
			s := of(func(r run, _ map[string]run) (float64, bool) { return float64(f(r)), true })
			if s == nil {
				return stat{}
			}
			return *s
		}
		share := of(func(r run, _ map[string]run) (float64, bool) { return r.Share, true })
		if share == nil {
			continue // it did not take part
		}
		rows = append(rows, row{
			Contender: c.name,
			WallLeast: of(func(x run, _ map[string]run) (float64, bool) { return ratio(x.Wall, r.least().Seconds(), x.Calls > 0) }),
			WallLoop:  of(func(x run, o map[string]run) (float64, bool) { return ratio(x.Wall, o[nameLoop].Wall, x.Calls > 0) }),
			CallsUser: of(func(x run, _ map[string]run) (float64, bool) {
				return ratio(float64(x.Calls), float64(r.Distinct)*x.Share, c.kind != reader)
			}),
			CPUBare: of(overBare),
			CPUValid: of(func(x run, o map[string]run) (float64, bool) {
				return ratio(x.CPU/float64(x.Records), cpuRecord(o[nameValid]), c.kind != caller)
			}),
			CPUCall:   of(func(x run, _ map[string]run) (float64, bool) { return ratio(1e6*x.CPU, float64(x.Calls), true) }),
			CPURecord: of(func(x run, _ map[string]run) (float64, bool) { return 1e6 * cpuRecord(x), c.kind != caller }),
			Peak:      of(func(x run, _ map[string]run) (float64, bool) { return float64(x.Peak) / 1e6, true }),
			PeakLoop: of(func(x run, o map[string]run) (float64, bool) {
				return ratio(float64(x.Peak), float64(o[nameLoop].Peak), true)
			}),
			Wall:  of(func(x run, _ map[string]run) (float64, bool) { return x.Wall, true }),
			First: of(func(x run, _ map[string]run) (float64, bool) { return x.First, c.kind == group && x.Calls > 0 }),
			Calls: count(func(x run) int { return x.Calls }),
			Stale: count(func(x run) int { return x.Stale }),
			Wrong: count(func(x run) int { return x.Wrong }),
			Share: share.Min,
		})
	}
	return rows
}

// overBare is the CPU of a call over the least that it could be: a bare call, and its part
// of a bare fetch and decode of what it was made for.
func overBare(r run, others map[string]run) (float64, bool) {
	loop, decode := others[nameLoop], others[nameDecode]
	if r.Calls == 0 || loop.Calls == 0 || decode.Records == 0 || r.Contender == nameLoop {
		return 0, false
	}
	bare := loop.CPU/float64(loop.Calls) + cpuRecord(decode)*float64(r.Records)*r.Share/float64(r.Calls)
	return ratio(r.CPU/float64(r.Calls), bare, true)
}

// cpuRecord is the CPU of each record that a contender was done with.
func cpuRecord(r run) float64 {
	x, _ := ratio(r.CPU, float64(r.Records)*r.Share, true)
	return x
}

func ratio(a, b float64, ok bool) (float64, bool) {
	if !ok || b <= 0 {
		return 0, false
	}
	return a / b, true
}

// over returns a contender's figure over all rounds, nil if there is none.
func (r result) over(name string, f figure) *stat {
	var all []float64
	for _, round := range r.Rounds {
		others := map[string]run{}
		for _, x := range round {
			others[x.Contender] = x
		}
		x, ok := others[name]
		if !ok {
			continue
		}
		if v, ok := f(x, others); ok {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return &stat{Median: median(all), Min: all[0], Max: all[len(all)-1]}
}

// median is that of a sorted list that is not empty.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
