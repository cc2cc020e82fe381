# The race detector needs a C compiler; without one Go turns cgo off by itself.
RACE := $(shell test "$$(go env CGO_ENABLED)" = 1 && echo -race)
CACHE ?= $(or $(USERSYNC_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/usersync-e2e)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# The tools are built from their own module, so that the product does not
# depend on theirs. The key changes with their versions and with Go's.
TOOLS_KEY := $(shell cat tools/go.sum | cksum | cut -d' ' -f1)-$(shell go env GOVERSION)
TOOLS := $(CACHE)/tools-$(TOOLS_KEY)

# About ten seconds. A count, because at a limit in seconds go test may report the
# limit itself as a failure (golang/go#75804, mended in Go 1.27).
FUZZTIME ?= 20000x

.PHONY: build test race chaos red e2e soak pipeline fuzz fmt lint vulncheck ci

# Build the binaries into bin/.
build:
	go build -trimpath -o bin/ ./cmd/...

# Run all tests; those that need more than Go say so and skip where it is missing.
test:
	go test ./...

# Run the tests of everything but e2e/ under the race detector, the largest of them
# with less to do. One processor for each test binary: the timers of a bubble share one
# state of the race detector, and two that fire at once corrupt it, a crash in
# __sanitizer (golang/go#78156). What races is found by order, not by parallelism.
race:
	go test $(RACE) -short -timeout 20m -exec 'env GOMAXPROCS=1' $$(go list ./... | grep -v /e2e)

# Run whole deployments through SCHEDULES seeded schedules of faults.
SCHEDULES ?= 1000
chaos:
	go test ./consumer -run '^TestChaos$$' -schedules $(SCHEDULES) -timeout 30m

# Break each rule that has a hook for it, and see it found by name.
red:
	go vet -tags faults ./sync/... ./consumer/...
	go test -tags faults ./consumer -run '^TestRed$$' -count=1

# Run the tests on real parts, one package at a time, and fail instead of skipping.
# What has no real parts is with the other tests.
# The chaos is without the race detector, which would leave it little time for faults.
e2e:
	USERSYNC_E2E=require go test $(RACE) -count=1 -p 1 -timeout 20m $$(go list ./e2e/... | grep -Ev '/e2e/(arch|chaos|ledger)$$')
	USERSYNC_E2E=require go test -count=1 -timeout 20m ./e2e/chaos

# Run real parts through one new schedule of faults after the other, for an hour.
SOAK ?= 1h
soak:
	USERSYNC_E2E=require go test -count=1 -v -timeout 0 -artifacts ./e2e/chaos -run '^TestChaos$$' -soak $(SOAK)

# Run PostgreSQL, Debezium, Kafka, two workers and both vendors, to play with.
pipeline:
	go run ./e2e/pipeline/play

# Run each fuzz target for FUZZTIME.
fuzz:
	@set -e; grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | \
	while IFS=: read -r file target; do \
		echo "$${target#func } in $$(dirname $$file)"; \
		go test -run='^$$' -fuzz="^$${target#func }\$$" -fuzztime=$(FUZZTIME) "$$(dirname $$file)"; \
	done

# Format the sources.
fmt: $(TOOLS)/golangci-lint
	$(TOOLS)/golangci-lint fmt

# Check formatting, go.mod, vet and the linters.
lint: $(TOOLS)/golangci-lint
	go mod tidy -diff
	go vet ./...
	$(TOOLS)/golangci-lint run

# Look for known vulnerabilities in what is called.
vulncheck: $(TOOLS)/govulncheck
	$(TOOLS)/govulncheck ./...

# All that a change must pass, from nothing.
ci:
	.ci/run

$(TOOLS)/golangci-lint: PKG := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/govulncheck: PKG := golang.org/x/vuln/cmd/govulncheck
$(TOOLS)/%:
	@mkdir -p $(@D)
	go build -C tools -trimpath -ldflags='-s -w' -o $@ $(PKG)
