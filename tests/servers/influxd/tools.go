//go:build tools

// Package tools names the two programs that install.py builds. It is never compiled: it says what go.mod and go.sum are
// here for, so that they hold what these builds need and nothing else. `go mod tidy` and `go get -tool` would also fetch
// the tests of every dependency.
package tools

import (
	_ "github.com/influxdata/influxdb/v2/cmd/influxd"
	_ "github.com/influxdata/pkg-config"
)
