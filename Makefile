# make test needs Go and a C compiler. The stores on servers are tested with
# whatever of Redis, PostgreSQL and MySQL or MariaDB is installed, or named by
# ZHONGKONG_TEST_REDIS, _POSTGRES and _MYSQL, the pages with the Chromium that is, or
# ZHONGKONG_TEST_CHROMIUM, and metrics and alerts with the promtool that is, or
# ZHONGKONG_TEST_PROMTOOL; ZHONGKONG_TEST_INSTALL=1 installs them all.

GO       ?= go
FUZZTIME ?= 10s
FUZZ     ?= ./...
CHAOS    ?= 25s
LINT      = $(GO) tool -modfile=.ci/tools/go.mod golangci-lint
# A cache for each tree: builds with -trimpath of two trees look alike, and a cache
# that both use would give the files of one the paths of the other.
export GOLANGCI_LINT_CACHE ?= $(CURDIR)/.cache/golangci-lint
MODULES   = test/interop adapters/silenceper adapters/powerwechat adapters/chanxuehong test/benchmarks test/pages

.DEFAULT_GOAL := help
.PHONY: help test test-all chaos interop lint fmt bench bench-peers bench-readme fuzz cover screenshots build-matrix cross release

help: ## List the targets
	@awk -F ': ## ' '/^[a-z-]+: ## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: ## Run every test: under the race detector, then those that measure without it
	@$(GO) run ./internal/withservers $(MAKE) --no-print-directory test-all

# Times mean nothing under the race detector: tests that measure are named
# TestSpeed…, skip themselves there and run again by themselves, one package after
# the other. Every line of theirs with a × in it is a ratio to its floor.
test-all:
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT ; \
	echo "== tests, under the race detector"; \
	{ CGO_ENABLED=1 $(GO) test -race -timeout 20m ./... 2>&1; echo $$? >"$$tmp/race"; } | tee "$$tmp/race.log" | grep -v 'no test files'; \
	echo "== speed, without it"; \
	CGO_ENABLED=1 $(GO) test -count 1 -p 1 -timeout 15m -v -run '^TestSpeed' ./... >"$$tmp/speed.log" 2>&1; echo $$? >"$$tmp/speed"; \
	if [ "$$(cat "$$tmp/speed")" = 0 ]; then sed -n 's/^ *[a-z_]*_test\.go:[0-9]*: \(.*×.*\)/\1/p' "$$tmp/speed.log"; else cat "$$tmp/speed.log"; fi; \
	echo "== summary"; \
	echo "left to other targets: chaos (make chaos)"; \
	echo "packages that passed: $$(grep -c '^ok' "$$tmp/race.log")"; \
	echo "measurements that passed: $$(grep -c '^--- PASS: TestSpeed' "$$tmp/speed.log")"; \
	sed -n 's/^ *[a-z_]*_test\.go:[0-9]*: \(left out: .*\)/\1/p' "$$tmp/speed.log"; \
	awk '/^FAIL[ \t]+[^ \t]/ { failed[$$2] } /^--- FAIL/ { failed[$$3] } END { for (name in failed) print "FAILED: " name }' "$$tmp/race.log" "$$tmp/speed.log"; \
	if [ "$$(cat "$$tmp/race" "$$tmp/speed" | tr -d '\n')" = 00 ]; then echo "All tests passed."; else echo "Tests failed."; exit 1; fi

chaos: ## Kill, stop and cut off real processes on every engine, CHAOS=25s each
	$(GO) test -count 1 -timeout 4h -v ./test/chaos -chaos $(CHAOS)

# Modules of their own: users of this one do not download foreign SDKs. The race
# detector is for ours: benchmarks uses some of them from many goroutines.
interop: ## Run foreign SDKs against the simulator and the gateway, and the adapters
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT ; \
	for module in $(MODULES); do \
		echo "== $$module"; \
		race=-race; if [ $$module = test/benchmarks ]; then race=; fi; \
		if ! (cd $$module && $(GO) vet ./... && CGO_ENABLED=1 $(GO) test $$race -count 1 -timeout 5m -v ./...) >"$$tmp/log" 2>&1; then \
			cat "$$tmp/log"; echo "interop: failed in $$module"; exit 1; \
		fi; \
		grep '^ok' "$$tmp/log"; \
		grep '^interop: ' "$$tmp/log" >>"$$tmp/left"; \
	done; \
	cat "$$tmp/left"

lint: ## Run the linters, in the version that .ci/tools/go.mod pins
	$(LINT) run ./...
	@for module in $(MODULES); do \
		echo "== $$module"; \
		root=$$PWD; (cd $$module && $(GO) tool -modfile="$$root/tools/go.mod" golangci-lint run ./...) || exit 1; \
	done

fmt: ## Format the code as the linters want it
	$(LINT) fmt

bench: ## Run the benchmarks; x_floor is the ratio to the floor beside it
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-peers: ## Measure this module beside its peers, for test/benchmarks/RESULT.md and the READMEs
	cd test/benchmarks && $(GO) run . -o RESULT.md -docs ../..

bench-readme: ## Give the READMEs and docs the figures of test/benchmarks/RESULT.json again
	cd test/benchmarks && $(GO) run . -fill -o RESULT.md -docs ../..

# A finding is written into testdata. Without one, "context deadline exceeded" is the
# engine's own, which sometimes takes the end of FUZZTIME for a failure.
fuzz: ## Run every fuzz target of FUZZ=./..., FUZZTIME=10s each
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT ; \
	list=$$($(GO) test -list '^Fuzz' $(FUZZ)) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { names[++n] = $$1 } /^ok/ { for (i = 1; i <= n; i++) print $$2, names[i]; n = 0 }' | \
	while read -r package target; do \
		echo "== $$target in $$package"; \
		{ $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s "$$package" </dev/null 2>&1; echo $$? >"$$tmp/code"; } | tee "$$tmp/log"; \
		if [ "$$(cat "$$tmp/code")" = 0 ]; then continue; fi; \
		if grep -q 'Failing input written' "$$tmp/log" || ! grep -q '^ *context deadline exceeded' "$$tmp/log"; then exit 1; fi; \
		echo "fuzz: no finding; the engine met its own deadline"; \
	done

cover: ## Measure the coverage of all packages by all tests, into cover.html
	$(GO) test -coverpkg ./... -coverprofile cover.out ./...
	$(GO) tool cover -html cover.out -o cover.html
	@$(GO) tool cover -func cover.out | tail -n 1

screenshots: ## Take the READMEs' pictures of the pages, with the Chromium and the fonts that are here
	cd test/pages && $(GO) test -count 1 -run '^TestLooks$$' ./chat ./console -screenshots "$(CURDIR)/docs/images"

build-matrix: ## Build without cgo, and vet for Windows and macOS
	CGO_ENABLED=0 $(GO) build ./...
	GOOS=windows $(GO) vet ./...
	GOOS=darwin $(GO) vet ./...

cross: build-matrix

release: ## Build the archives of VERSION=v0.1.0, their SBOMs and checksums, into dist
	@rm -rf dist
	$(GO) run ./.ci/release -version "$(VERSION)"
