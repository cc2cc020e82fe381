// Package runbooks is a page for each alert. Every worker carries those of its own
// version: whoever needs one may have no way out of the cluster but to a worker.
package runbooks

import "embed"

// Pages are the files of this directory.
//
//go:embed *.md
var Pages embed.FS
