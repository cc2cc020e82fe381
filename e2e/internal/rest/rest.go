// Package rest asks programs under test over HTTP, in JSON.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Refusal is an answer other than 2xx.
type Refusal struct {
	Status int
	Body   string
}

// Error is the answer.
func (r *Refusal) Error() string { return fmt.Sprintf("HTTP %d: %s", r.Status, r.Body) }

// Call makes a request with in as its body, unless that is nil, and reads the answer
// into out, unless that is nil. Numbers that go into an any are json.Number. The error
// is a *Refusal if the program said no.
func Call(ctx context.Context, method, url string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return &Refusal{resp.StatusCode, string(text)}
	}
	if out == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(out)
}
