package main

import (
	"fmt"
	"strings"
)

// The parts of Grafana's dashboards (schema 39, Grafana 11) that are used here.
type (
	dashboard struct {
		Title         string       `json:"title"`
		UID           string       `json:"uid"`
		Description   string       `json:"description"`
		Tags          []string     `json:"tags"`
		SchemaVersion int          `json:"schemaVersion"`
		Editable      bool         `json:"editable"`
		GraphTooltip  int          `json:"graphTooltip"`
		Refresh       string       `json:"refresh"`
		Time          object       `json:"time"`
		Templating    list[object] `json:"templating"`
		Annotations   list[object] `json:"annotations"`
		Links         []object     `json:"links"`
		Panels        []panel      `json:"panels"`
	}
	object      map[string]any
	list[T any] struct {
		List []T `json:"list"`
	}
	panel struct {
		ID          int          `json:"id"`
		Type        string       `json:"type"`
		Title       string       `json:"title"`
		Description string       `json:"description,omitempty"`
		GridPos     gridPos      `json:"gridPos"`
		Repeat      string       `json:"repeat,omitempty"`
		Collapsed   *bool        `json:"collapsed,omitempty"`
		Panels      *[]panel     `json:"panels,omitempty"`
		Datasource  object       `json:"datasource,omitempty"`
		FieldConfig *fieldConfig `json:"fieldConfig,omitempty"`
		Options     object       `json:"options,omitempty"`
		Targets     []target     `json:"targets,omitempty"`
		Links       []object     `json:"links,omitempty"`
	}
	gridPos struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	}
	fieldConfig struct {
		Defaults  object   `json:"defaults"`
		Overrides []object `json:"overrides"`
	}
	target struct {
		RefID        string `json:"refId"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat,omitempty"`
		Format       string `json:"format,omitempty"`
		Instant      bool   `json:"instant,omitempty"`
		Range        bool   `json:"range,omitempty"`
	}
)

// source is chosen by the reader: a cluster may have several.
var source = object{"type": "prometheus", "uid": "${datasource}"}

// row is a row of panels. One that is folded asks nothing until it is opened.
type row struct {
	title  string
	repeat bool // once for each destination that is chosen
	folded bool
	panels []panel
}

const width = 24 // of Grafana's grid

// lay gives all panels their places, from left to right, and their IDs.
func lay(rows []row) []panel {
	var all []panel
	id, y := 0, 0
	next := func() int { id++; return id }
	for _, r := range rows {
		head := panel{ID: next(), Type: "row", Title: r.title, GridPos: gridPos{1, width, 0, y}, Collapsed: new(r.folded), Panels: &[]panel{}}
		if r.repeat {
			head.Repeat = "destination"
		}
		y++
		x, tallest := 0, 0
		for i := range r.panels {
			p := &r.panels[i]
			if x+p.GridPos.W > width {
				x, y, tallest = 0, y+tallest, 0
			}
			p.ID, p.GridPos.X, p.GridPos.Y = next(), x, y
			x, tallest = x+p.GridPos.W, max(tallest, p.GridPos.H)
		}
		y += tallest
		if r.folded { // its panels are inside, and take no room
			*head.Panels = r.panels
			all = append(all, head)
		} else {
			all = append(append(all, head), r.panels...)
		}
	}
	return all
}

// deployment begins what a series is called: several may be chosen, and are not added up.
const deployment = "{{namespace}} {{release}} "

// query is an expression and what its series are called. In an expression stand
//
//	$own     the matchers of a series of the worker
//	$rule    those of what a recording rule computed, which knows no pod
//	$process those of a series that is about no destination
type query struct{ expr, legend string }

var matchers = strings.NewReplacer(
	"$own", `namespace=~"$namespace", job=~"$job", pod=~"$pod", destination=~"$destination"`,
	"$rule", `namespace=~"$namespace", job=~"$job", destination=~"$destination"`,
	"$process", `namespace=~"$namespace", job=~"$job", pod=~"$pod"`,
)

func targets(queries []query, instant bool) []target {
	var all []target
	for i, q := range queries {
		all = append(all, target{
			RefID: string(rune('A' + i)), Expr: matchers.Replace(q.expr), LegendFormat: q.legend,
			Instant: instant, Range: !instant,
		})
	}
	return all
}

// graph is a panel with lines over time, a third of the page wide.
func graph(title, unit, description string, queries ...query) panel {
	return panel{
		Type: "timeseries", Title: title, Description: description, Datasource: source,
		GridPos: gridPos{H: 8, W: 8},
		FieldConfig: &fieldConfig{Overrides: []object{}, Defaults: object{
			"unit": unit, "min": 0,
			"custom": object{"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": false},
		}},
		Options: object{
			"legend":  object{"showLegend": true, "displayMode": "list", "placement": "bottom"},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		},
		Targets: targets(queries, false),
	}
}

// number is a panel with the present value for each destination: green, from the first
// of the limits on orange, and red from the second.
func number(title, unit, description string, q query, limits ...float64) panel {
	steps := []object{{"color": "green", "value": nil}}
	for i, limit := range limits {
		steps = append(steps, object{"color": []string{"orange", "red"}[i], "value": limit})
	}
	return panel{
		Type: "stat", Title: title, Description: description, Datasource: source,
		GridPos: gridPos{H: 5, W: 6},
		FieldConfig: &fieldConfig{Overrides: []object{}, Defaults: object{
			"unit":       unit,
			"thresholds": object{"mode": "absolute", "steps": steps},
		}},
		Options: object{
			"colorMode": "background", "graphMode": "none", "textMode": "value_and_name",
			"reduceOptions": object{"calcs": []string{"lastNotNull"}},
		},
		Targets: targets([]query{q}, true),
	}
}

// bands is a panel with a band for each series, while its value is not 0.
func bands(title, description string, queries ...query) panel {
	return panel{
		Type: "state-timeline", Title: title, Description: description, Datasource: source,
		GridPos: gridPos{H: 8, W: 8},
		FieldConfig: &fieldConfig{Overrides: []object{}, Defaults: object{
			"unit": "bool_yes_no",
			"mappings": []object{{"type": "value", "options": object{
				"0": object{"text": "no", "color": "transparent", "index": 0},
				"1": object{"text": "yes", "color": "orange", "index": 1},
			}}},
		}},
		Options: object{"showValue": "never", "mergeValues": true, "rowHeight": 0.8, "legend": object{"showLegend": false}},
		Targets: targets(queries, false),
	}
}

// table is a panel with a line for each series of now, all of its labels, and no value.
func table(title, description string, q query) panel {
	all := targets([]query{q}, true)
	all[0].Format = "table"
	return panel{
		Type: "table", Title: title, Description: description, Datasource: source,
		GridPos:     gridPos{H: 8, W: 24},
		FieldConfig: &fieldConfig{Defaults: object{"unit": "none", "noValue": "none"}, Overrides: []object{}},
		Options:     object{"showHeader": true},
		Targets:     all,
	}
}

// wide makes a panel w columns of 24 wide.
func (p panel) wide(w int) panel {
	p.GridPos.W = w
	return p
}

// page links a panel to an alert's runbook.
func (p panel) page(alert string) panel {
	p.Links = append(p.Links, object{"title": alert, "url": runbook(alert), "targetBlank": true})
	return p
}

// runbook is an address below the variable that says where the runbooks are.
func runbook(name string) string { return "${runbooks}/" + name + ".md" }

// show sets a default of all fields.
func (p panel) show(key string, value any) panel {
	p.FieldConfig.Defaults[key] = value
	return p
}

// variable is a choice of the values that a label has.
func variable(name, label, metric string) object {
	return object{
		"name": name, "label": label, "type": "query", "datasource": source,
		"query":      object{"query": fmt.Sprintf("label_values(%s, %s)", metric, name), "refId": name},
		"definition": fmt.Sprintf("label_values(%s, %s)", metric, name),
		"refresh":    2, "sort": 1, "multi": true, "includeAll": true,
		// .* also matches a series without the label, such as a pod's outside Kubernetes.
		"allValue": ".*", "current": object{"text": "All", "value": "$__all"},
	}
}

// build makes a dashboard of rows, with what both have in common.
func build(title, uid, description, other string, rows []row) dashboard {
	return dashboard{
		Title: title, UID: uid, Description: description, Tags: []string{"usersync"},
		SchemaVersion: 39, GraphTooltip: 1, Refresh: "30s", Time: object{"from": "now-6h", "to": "now"},
		Templating: list[object]{[]object{
			{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": object{}},
			variable("namespace", "Namespace", "usersync_build_info"),
			variable("job", "Job", `usersync_build_info{namespace=~"$namespace"}`),
			variable("pod", "Pod", `usersync_build_info{namespace=~"$namespace", job=~"$job"}`),
			variable("destination", "Destination", `usersync_lane_state{namespace=~"$namespace", job=~"$job"}`),
			{"name": "runbooks", "label": "Runbooks", "type": "textbox", "hide": 2, "query": "docs/runbooks", "current": object{"text": "docs/runbooks", "value": "docs/runbooks"}},
		}},
		Annotations: list[object]{[]object{
			annotation("Deploys", "blue", "{{version}}", "version {{version}}, revision {{revision}}",
				`group by (namespace, job, release, version, revision) (usersync_build_info{$process}) unless group by (namespace, job, release, version, revision) (usersync_build_info{$process} offset 5m)`),
			annotation("Starts", "purple", "{{pod}}", "a worker started", `(time() - process_start_time_seconds{$process}) < 60`),
			annotation("Rebalances", "orange", "{{destination}}", "{{pod}} joined its group", `changes(usersync_consumer_generations_total{$own}[2m]) > 0`),
		}},
		Links: []object{
			{"title": "Runbooks", "type": "link", "icon": "doc", "url": runbook("README"), "targetBlank": true},
			{"title": other, "type": "dashboards", "icon": "external link", "tags": []string{"usersync"}, "includeVars": true, "keepTime": true},
		},
		Panels: lay(rows),
	}
}

// annotation marks the times at which an expression has a value.
func annotation(name, color, title, text, expr string) object {
	return object{
		"name": name, "datasource": source, "enable": true, "iconColor": color,
		"expr": matchers.Replace(expr), "step": "60s", "titleFormat": title, "textFormat": text,
	}
}
