package app

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"usersync/consumer"
)

// topicsReport says of each topic what it should be and what is there.
type topicsReport struct {
	Topics []topicReport `json:"topics"`
}

// topicReport is about one topic.
type topicReport struct {
	Topic    string         `json:"topic"`
	Role     string         `json:"role"`
	Status   string         `json:"status"`
	Should   topicShape     `json:"should"` // as it is made
	Is       *topicShape    `json:"is"`     // nil: it does not exist, or cannot be seen
	Findings []topicFinding `json:"findings"`

	need consumer.TopicNeed
}

// topicShape is what a topic is, or should be.
type topicShape struct {
	Partitions int               `json:"partitions,omitempty"` // 0: any number, or not known yet
	Replicas   int               `json:"replicas,omitempty"`   // 0: any number
	Settings   map[string]string `json:"settings,omitempty"`   // nil: this user may not read them
}

// topicFinding is what a check has found about it.
type topicFinding struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Text     string `json:"text"`
}

func newTopicReport(t consumer.Topic) topicReport {
	y := topicReport{
		Topic: t.Topic, Role: string(t.Role), Findings: []topicFinding{}, need: t.TopicNeed,
		Should: topicShape{Partitions: t.Partitions, Settings: map[string]string{}},
	}
	for _, s := range t.Settings {
		y.Should.Settings[s.Name] = s.Value
	}
	if t.Have > 0 {
		y.Is = &topicShape{Partitions: t.Have, Replicas: t.Replicas, Settings: t.Values}
	}
	return y
}

// problem says how many topics are not as they must be.
func (r *topicsReport) problem() error {
	bad := 0
	for _, t := range r.Topics {
		if t.Status == topicMissing || t.Status == topicWrong {
			bad++
		}
	}
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("kafka: %d of %d topics are missing, or not as they must be", bad, len(r.Topics))
}

func (r *topicsReport) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TOPIC\tROLE\tSTATUS\tWHAT\tMADE AS\tIS")
	for _, t := range r.Topics {
		is := topicShape{}
		if t.Is != nil {
			is = *t.Is
		}
		fmt.Fprintf(table, "%s\t%s\t%s\tpartitions\t%s\t%s\n", t.Topic, t.Role, t.Status, t.partitions(), dashed(is.Partitions))
		fmt.Fprintf(table, "\t\t\treplicas\tany\t%s\n", dashed(is.Replicas))
		for _, s := range t.need.Settings {
			value, known := is.Settings[s.Name]
			if !known {
				value = "-"
			}
			fmt.Fprintf(table, "\t\t\t%s\t%s\t%s\n", s.Name, s.Value, value)
		}
	}
	_ = table.Flush() // w keeps its error
	for _, t := range r.Topics {
		for _, f := range t.Findings {
			fmt.Fprintf(w, "%s: topic %s: %s (%s)\n", f.Severity, t.Topic, f.Text, f.Code)
		}
		if t.Status == topicLater {
			fmt.Fprintf(w, "topic %s: the workers make it when they first need it (kafka.state_topic_create)\n", t.Topic)
		}
	}
}

// partitions says how many the topic should have.
func (t topicReport) partitions() string {
	switch {
	case t.Should.Partitions > 0:
		return strconv.Itoa(t.Should.Partitions)
	case t.need.AsSource:
		return "as the source"
	default:
		return "any"
	}
}

// dashed is n, or a dash for what is not there.
func dashed(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}
