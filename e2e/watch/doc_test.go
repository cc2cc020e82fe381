// Package watch tests what people watch usersync by: the alerts, their runbooks and the
// dashboards. What can be told from the files is told without Prometheus; that an alert
// fires by its cause, and that an expression returns data, a real Prometheus says that
// scrapes real workers.
package watch
