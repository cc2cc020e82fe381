# The race detector needs a C compiler; without one Go turns cgo off by itself.
RACE := $(shell test "$$(go env CGO_ENABLED)" = 1 && echo -race)
CACHE ?= $(or $(USERSYNC_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/usersync-e2e)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# The tools are built from their own module, so that the product does not
# depend on theirs. The key changes with their versions and with Go's.
TOOLS_KEY := $(shell cat tools/go.sum | cksum | cut -d' ' -f1)-$(shell go env GOVERSION)
TOOLS := $(CACHE)/tools-$(TOOLS_KEY)

# Helm and its unit tests are in one more module: they share nothing with the linters,
# and a new version of one should not build the other anew.
CHART_TOOLS_KEY := $(shell cat tools/chart/go.sum | cksum | cut -d' ' -f1)-$(shell go env GOVERSION)
CHART_TOOLS := $(CACHE)/chart-tools-$(CHART_TOOLS_KEY)

# A real Kubernetes, without nodes, and the check of objects that needs none; the latter
# is built of an older one.
KUBE_TOOLS_KEY := $(shell cat tools/kube/go.sum | cksum | cut -d' ' -f1)-$(shell go env GOVERSION)
KUBE_TOOLS := $(CACHE)/kube-tools-$(KUBE_TOOLS_KEY)
VALIDATE_TOOLS_KEY := $(shell cat tools/validate/go.sum | cksum | cut -d' ' -f1)-$(shell go env GOVERSION)
VALIDATE_TOOLS := $(CACHE)/validate-tools-$(VALIDATE_TOOLS_KEY)
KUBE := $(addprefix $(KUBE_TOOLS)/,etcd kube-apiserver kube-controller-manager kubectl) $(VALIDATE_TOOLS)/kubectl-validate

# About ten seconds. A count, because at a limit in seconds go test may report the
# limit itself as a failure (golang/go#75804, mended in Go 1.27).
FUZZTIME ?= 20000x

.PHONY: build dist image sbom image-test test race race-first race-second chaos red e2e parts-e2e cdc-e2e bench bench-test benchstat scale figures browser-e2e watch-e2e soak pipeline chart-test chart-e2e chart-e2e-cached fuzz fmt lint vulncheck ci

# Build the binaries into bin/.
build:
	go build -trimpath -o bin/ ./cmd/...

# Build the worker for the image: static, and the same bytes from every checkout of a
# commit with the same Go.
DIST ?= dist
dist: $(DIST)/linux_amd64/usersync $(DIST)/linux_arm64/usersync

$(DIST)/linux_%/usersync: FORCE
	CGO_ENABLED=0 GOOS=linux GOARCH=$* go build -buildvcs=true -trimpath -ldflags='-s -w' -o $@ ./cmd/usersync
FORCE:

# Build the image with ENGINE: docker, podman or buildah. PLATFORM=linux/arm64 for another
# platform than this one: older versions of buildah and podman, such as those of Debian 12,
# have to be told what this one is, or they would take the other one's Go.
ENGINE ?= docker
IMAGE ?= usersync:$(VERSION)
image:
	$(ENGINE) build $(if $(PLATFORM),--platform $(PLATFORM)) --tag $(IMAGE) $(IMAGE_ARGS) .
IMAGE_ARGS = --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
	$(if $(filter-out docker,$(ENGINE)),--build-arg BUILDPLATFORM=linux/$$(go env GOHOSTARCH)) \
	--build-arg CREATED=$$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ) \
	--build-arg SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct)

# Write which modules are in the worker, with versions and checksums: out of the binary
# itself, by the go command, which has noted it there. What scanners read is the same.
sbom: $(DIST)/linux_amd64/usersync
	go version -m -json $< >$(DIST)/usersync.modules.json

# Build the image, with this machine's Go in place of the one that would be pulled, and
# run it, without privileges, against a real broker.
image-test:
	USERSYNC_E2E=require go test -count=1 -timeout 10m ./e2e/image

# Run all tests; those that need more than Go say so and skip where it is missing.
test:
	go test ./...

# Run the tests of everything but e2e/ under the race detector, the largest of them
# with less to do. One processor for each test binary: the timers of a bubble share one
# state of the race detector, and two that fire at once corrupt it, a crash in
# __sanitizer (golang/go#78156). What races is found by order, not by parallelism. The
# package that takes longest is tested in two halves at once, the others behind the second;
# without what only measures. Here and where it fuzzes, go test has no need to vet: it does
# so in `make test`, and would do it anew for each way to compile.
race:
	@$(MAKE) --no-print-directory -j 2 race-first race-second
RACING = go test $(RACE) -vet=off -short -timeout 30m -p 1 -exec 'env GOMAXPROCS=1 GOGC=400'
HALF = ^Test([A-N]|One)
MEASURING = ^Test(Scale|OutageFigures)
race-first:
	$(RACING) ./consumer -run '$(HALF)'
race-second:
	$(RACING) ./consumer -skip '$(HALF)|$(MEASURING)'
	$(RACING) $$(go list ./... | grep -Ev '/e2e|/consumer$$')

# Run whole deployments through SCHEDULES seeded schedules of faults.
SCHEDULES ?= 1000
chaos:
	go test -exec 'env GOGC=400' ./consumer -run '^TestChaos$$' -schedules $(SCHEDULES) -timeout 30m

# Break each rule that has a hook for it, and see it found by name.
red:
	go vet -tags faults ./sync/... ./consumer/...
	go test -tags faults ./consumer ./sync -run '^TestRed$$' -count=1

# Run the tests on real parts, one package at a time, and fail instead of skipping.
# What has no real parts is with the other tests; what is around the worker, its chart,
# its image, its pages and its alerts, has targets of its own.
# Without the race detector: the chaos, which would have little time left for faults, and
# beside it the snapshots of a large table.
e2e: parts-e2e cdc-e2e
parts-e2e:
	USERSYNC_E2E=require go test $(RACE) -count=1 -p 1 -timeout 20m $$(go list ./e2e/... | grep -Ev '/e2e/(arch|bench|browser|cdc|chaos|chart|delivered|image|kubernetes|ledger|prometheus|watch)$$')
	USERSYNC_E2E=require go test -count=1 -timeout 20m ./e2e/chaos ./e2e/delivered

# Compare what databases do, by way of seven connectors, with what both vendors hold.
cdc-e2e:
	USERSYNC_E2E=require go test $(RACE) -count=1 -timeout 20m ./e2e/cdc

# Look at the status page in a real browser.
browser-e2e:
	USERSYNC_E2E=require go test -count=1 -timeout 10m ./e2e/browser

# See each alert fire by its cause and end with it, and each panel show something: a real
# Prometheus over real workers in trouble, about three minutes.
watch-e2e:
	USERSYNC_E2E=require go test -count=1 -timeout 10m -v ./e2e/prometheus ./e2e/watch

# Run real parts through one new schedule of faults after the other, for an hour.
SOAK ?= 1h
soak:
	USERSYNC_E2E=require go test -count=1 -v -timeout 0 -artifacts ./e2e/chaos -run '^TestChaos$$' -soak $(SOAK)

# Run the worker beside what it could be compared with, on one broker, with the flags in
# BENCH; BENCH=-help says which. Nothing else should run on the machine.
bench:
	go run ./e2e/bench $(BENCH)

# Test what it is measured with, on a few changes.
bench-test:
	USERSYNC_E2E=require go test -count=1 -timeout 10m ./e2e/bench

# Run the Go benchmarks of this tree and of the commit BASE in turn, COUNT times each, and
# compare them. BENCHMARKS is which, PACKAGES where. Some minutes; nothing else should run.
BASE ?= HEAD~1
COUNT ?= 6
BENCHMARKS ?= .
PACKAGES ?= $$(go list ./... | grep -v /e2e)
benchstat:
	@set -eu; dir=$$(mktemp -d); trap 'git worktree remove --force "$$dir/base"; rm -rf "$$dir"' EXIT; \
	git worktree add --quiet --detach "$$dir/base" $(BASE); \
	for i in $$(seq $(COUNT)); do echo "round $$i of $(COUNT)" >&2; \
		(cd "$$dir/base" && go test -run '^$$' -bench '$(BENCHMARKS)' -benchmem $(PACKAGES)) >>"$$dir/base.txt"; \
		go test -run '^$$' -bench '$(BENCHMARKS)' -benchmem $(PACKAGES) >>"$$dir/this.txt"; \
	done; \
	cd "$$dir" && go run $(BENCHSTAT) base.txt this.txt
BENCHSTAT := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

# Measure how cost grows with users, partitions and replicas, and draw the picture of
# docs/scaling.md, which has what this printed. No broker is needed.
scale:
	go test ./consumer -run '^TestScale' -v -count=1 -timeout 1h -scale -pictures ../docs/images
	go test ./consumer -run '^$$' -bench '^BenchmarkScale' -count 3 -timeout 1h

# Measure what docs/figures.md says of outages and of workers that are replaced.
figures:
	go test -count=1 -timeout 30m -v ./consumer -run '^TestOutageFigures$$' -figures
	USERSYNC_E2E=require go test -count=1 -timeout 30m -v ./e2e -run '^(TestOutageForReal|TestDuplicateCalls)$$' -figures

# Run PostgreSQL, Debezium, Kafka, two workers and both vendors, to play with.
pipeline:
	go run ./e2e/pipeline/play

# Test the Helm chart: Helm's own lint, unit tests, golden files, bad values, the
# configuration that it makes with the real worker, and the topics' Job at a real broker.
# The first time it builds Helm.
chart-test: $(CHART_TOOLS)/helm $(CHART_TOOLS)/helm-unittest
	$(CHART_TOOLS)/helm-unittest --strict charts/usersync
	PATH="$(CHART_TOOLS):$$PATH" USERSYNC_E2E=require go test -count=1 ./e2e/chart

# Install the Helm chart in a real Kubernetes: an API server that refuses what it does not
# know, and controllers that make pods. The first time it builds them.
chart-e2e: $(CHART_TOOLS)/helm $(KUBE)
	PATH="$(KUBE_TOOLS):$(VALIDATE_TOOLS):$(CHART_TOOLS):$$PATH" USERSYNC_E2E=require go test -count=1 -timeout 20m ./e2e/kubernetes

# The same where Kubernetes is built already, for those who cannot wait for that.
chart-e2e-cached:
ifeq ($(filter-out $(wildcard $(KUBE)),$(KUBE)),)
	@$(MAKE) chart-e2e
else
	@echo 'NOT RUN: there is no Kubernetes in $(CACHE); make chart-e2e builds it, which takes up to half an hour'
endif

# Run each fuzz target for FUZZTIME.
fuzz:
	@set -e; grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | \
	while IFS=: read -r file target; do \
		echo "$${target#func } in $$(dirname $$file)"; \
		go test -vet=off -run='^$$' -fuzz="^$${target#func }\$$" -fuzztime=$(FUZZTIME) "$$(dirname $$file)"; \
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
$(CHART_TOOLS)/helm: PKG := helm.sh/helm/v3/cmd/helm
$(CHART_TOOLS)/helm-unittest: PKG := github.com/helm-unittest/helm-unittest/cmd/helm-unittest
$(CHART_TOOLS)/%:
	@mkdir -p $(@D)
	go build -C tools/chart -trimpath -ldflags='-s -w' -o $@ $(PKG)

# Clients ask the server for its version, and it has that from whoever builds it.
$(KUBE_TOOLS)/etcd: PKG := go.etcd.io/etcd/server/v3
$(KUBE_TOOLS)/kube%: PKG = k8s.io/kubernetes/cmd/$(@F)
$(KUBE_TOOLS)/%:
	@mkdir -p $(@D)
	@echo 'building $(@F); all of Kubernetes takes up to half an hour on two cores, once'
	go build -C tools/kube -trimpath -ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$$(go list -C tools/kube -m -f '{{.Version}}' k8s.io/kubernetes)" -o $@ $(PKG)

$(VALIDATE_TOOLS)/%:
	@mkdir -p $(@D)
	go build -C tools/validate -trimpath -ldflags='-s -w' -o $@ sigs.k8s.io/kubectl-validate

$(TOOLS)/%:
	@mkdir -p $(@D)
	go build -C tools -trimpath -ldflags='-s -w' -o $@ $(PKG)
