package connect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"usersync/e2e/internal/rest"
)

// Status says how a connector does. States are Connect's, such as RUNNING,
// STOPPED and FAILED.
type Status struct {
	Connector Part
	Tasks     []Part
}

// Part is a connector without its tasks, or one of them. Trace is the stack of what
// made it fail.
type Part struct{ State, Trace string }

// Failed returns why a connector or its task has failed, nil if neither has.
func (s Status) Failed() error {
	for _, p := range append(s.Tasks, s.Connector) {
		if p.State == "FAILED" {
			return fmt.Errorf("it failed: %s", p.Trace)
		}
	}
	return nil
}

// Status returns how a connector does, as far as its worker knows: of a worker that
// was killed it says what was last.
func (w *Worker) Status(ctx context.Context, name string) (Status, error) {
	var s Status
	err := w.get(ctx, "/connectors/"+name+"/status", &s)
	return s, err
}

// PutConnector creates a connector, or gives it another configuration, and returns
// when it and its task run. One that exists is stopped before, since the old task
// would pass for the new one.
func (w *Worker) PutConnector(ctx context.Context, name string, config map[string]string) error {
	return w.within(ctx, "connector "+name, func(ctx context.Context) error {
		existed, err := w.stopConnector(ctx, name)
		if err != nil {
			return err
		}
		if err := w.put(ctx, "/connectors/"+name+"/config", config); err != nil {
			return err
		}
		if existed {
			return w.resumeConnector(ctx, name)
		}
		return w.await(ctx, name, running)
	})
}

// Validate returns what the worker and the plugin have against a configuration, which
// may be of a connector that does not exist: values that they don't take, and keys that
// they don't know. Those of topics are for the brokers to know.
func (w *Worker) Validate(ctx context.Context, config map[string]string) ([]string, error) {
	config = maps.Clone(config)
	config["name"] = "validated"
	var found struct {
		Configs []struct {
			Definition *struct{ Name string }
			Value      struct {
				Name   string
				Errors []string
			}
		}
	}
	path := "/connector-plugins/" + config["connector.class"] + "/config/validate"
	if err := w.call(ctx, http.MethodPut, path, config, &found); err != nil {
		return nil, err
	}
	known := map[string]bool{}
	var all []string
	for _, c := range found.Configs {
		known[c.Value.Name] = c.Definition != nil
		for _, e := range c.Value.Errors {
			all = append(all, c.Value.Name+": "+e)
		}
	}
	for key := range config {
		if !known[key] && !strings.HasPrefix(key, "topic.creation.") {
			all = append(all, key+": unknown")
		}
	}
	return all, nil
}

// StopConnector has a connector's tasks end, and returns when they have. What changes
// meanwhile stays in the database's log; PutConnector has the tasks begin anew.
func (w *Worker) StopConnector(ctx context.Context, name string) error {
	return w.within(ctx, "stop connector "+name, func(ctx context.Context) error {
		existed, err := w.stopConnector(ctx, name)
		if err == nil && !existed {
			return errMissing
		}
		return err
	})
}

// errMissing is of a connector that was never put.
var errMissing = errors.New("there is no such connector")

// RestartConnector has a connector and its task end and begin anew from where they
// noted they were, and returns when both run.
func (w *Worker) RestartConnector(ctx context.Context, name string) error {
	// Not Connect's own restart, of which its status shows no beginning.
	return w.within(ctx, "restart connector "+name, func(ctx context.Context) error {
		existed, err := w.stopConnector(ctx, name)
		if err != nil {
			return err
		}
		if !existed {
			return errMissing
		}
		return w.resumeConnector(ctx, name)
	})
}

// within gives f a time limit, and its error a context.
func (w *Worker) within(ctx context.Context, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not within %v", startLimit))
	defer cancel()
	if err := f(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// stopConnector ends a connector's tasks, and reports whether there is such a
// connector.
func (w *Worker) stopConnector(ctx context.Context, name string) (bool, error) {
	err := w.put(ctx, "/connectors/"+name+"/stop", nil)
	if e, ok := errors.AsType[*rest.Refusal](err); ok && e.Status == http.StatusNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, w.await(ctx, name, func(s Status) bool { return s.Connector.State == "STOPPED" && len(s.Tasks) == 0 })
}

func (w *Worker) resumeConnector(ctx context.Context, name string) error {
	if err := w.put(ctx, "/connectors/"+name+"/resume", nil); err != nil {
		return err
	}
	return w.await(ctx, name, running)
}

func running(s Status) bool {
	return len(s.Tasks) > 0 && !slices.ContainsFunc(append(s.Tasks, s.Connector), func(p Part) bool { return p.State != "RUNNING" })
}

// await waits until a connector does as it should; one that fails is an error at
// once.
func (w *Worker) await(ctx context.Context, name string, done func(Status) bool) error {
	var failed error
	err := w.process.Ready(ctx, func(ctx context.Context) error {
		s, err := w.Status(ctx, name)
		if err != nil {
			return err
		}
		if done(s) {
			return nil
		}
		if failed = s.Failed(); failed != nil {
			return nil //nolint:nilerr // it will not get better: no longer waited for, and returned below
		}
		return fmt.Errorf("it is %+v", s)
	})
	return errors.Join(err, failed)
}

// get asks the worker; the answer goes to out unless that is nil.
func (w *Worker) get(ctx context.Context, path string, out any) error {
	return w.call(ctx, http.MethodGet, path, nil, out)
}

// put tells the worker, again for as long as it is busy with a rebalance.
func (w *Worker) put(ctx context.Context, path string, in any) error {
	var last error
	err := w.process.Ready(ctx, func(ctx context.Context) error {
		last = w.call(ctx, http.MethodPut, path, in, nil)
		if e, ok := errors.AsType[*rest.Refusal](last); ok && e.Status != http.StatusConflict {
			return nil
		}
		return last
	})
	if err != nil {
		return err
	}
	return last
}

func (w *Worker) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return rest.Call(ctx, method, w.URL()+path, in, out)
}
