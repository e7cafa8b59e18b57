# make test needs Go and a C compiler. The stores on servers are tested with Redis,
# PostgreSQL and MySQL or MariaDB, where they are installed or ZHONGKONG_TEST_REDIS,
# _POSTGRES and _MYSQL name them; pages with Chromium or ZHONGKONG_TEST_CHROMIUM, metrics
# and alerts with promtool or ZHONGKONG_TEST_PROMTOOL. ZHONGKONG_TEST_INSTALL=1 installs
# what is missing.

GO       ?= go
export FUZZTIME ?= 10s
export FUZZ     ?= ./...
CHAOS    ?= 25s
LINT      = $(GO) tool -modfile=.ci/tools/go.mod golangci-lint
# Each tree has a cache: with -trimpath the builds of two trees look alike, and a shared
# cache would report the files of one tree under the paths of the other.
export GOLANGCI_LINT_CACHE ?= $(CURDIR)/.cache/golangci-lint
FOREIGN   = examples/bolt test/interop adapters/silenceper adapters/powerwechat adapters/chanxuehong test/benchmarks
MODULES   = test/pages test/deploy $(FOREIGN)

.DEFAULT_GOAL := help
.PHONY: help test deploy chaos interop lint fmt bench bench-peers bench-readme fuzz cover screenshots site build-matrix cross release

help: ## List the targets
	@awk -F ': ## ' '/^[a-z-]+: ## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: ## Run what a change must pass: race detector, servers, browsers, speed as ratios
	@$(GO) run ./internal/test/withservers

deploy: ## Check the files in deploy with what users do not download
	cd test/deploy && $(GO) test -count 1 ./...

chaos: ## Kill, stop and cut off real processes on every engine, CHAOS=25s each
	@GO="$(GO)" CHAOS="$(CHAOS)" .ci/chaos

interop: ## Run foreign SDKs against the simulator and the gateway, and the adapters
	@GO="$(GO)" .ci/interop $(FOREIGN)

lint: ## Run the linters, in the version that .ci/tools/go.mod pins
	$(LINT) run ./... ./.ci/release
	@root=$$PWD; for module in $(MODULES); do echo "== $$module"; \
		(cd $$module && $(GO) tool -modfile="$$root/.ci/tools/go.mod" golangci-lint run ./...) || exit 1; done

fmt: ## Format the code as the linters want it
	$(LINT) fmt

bench: ## Run the benchmarks; x_floor is the ratio to the floor
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-peers: ## Measure this module and its peers, for test/benchmarks/RESULT.md and the READMEs
	cd test/benchmarks && $(GO) run . -o RESULT.md -docs ../..

bench-readme: ## Give the READMEs and docs the figures of test/benchmarks/RESULT.json again
	cd test/benchmarks && $(GO) run . -fill -o RESULT.md -docs ../..

fuzz: ## Run every fuzz target of FUZZ=./..., FUZZTIME=10s each
	@GO="$(GO)" .ci/fuzz

cover: ## Measure the coverage of all packages by all tests, into cover.html
	$(GO) run ./internal/test/withservers $(GO) test -coverpkg ./... -coverprofile cover.out ./...
	$(GO) tool cover -html cover.out -o cover.html
	@$(GO) tool cover -func cover.out | tail -n 1

screenshots: ## Take the READMEs' pictures of the pages, with the Chromium and the fonts that are here
	cd test/pages && $(GO) test -count 1 -run '^TestLooks$$' ./chat ./console -screenshots "$(CURDIR)/docs/images"

site: ## Build the site of the docs into .ci/site/dist/site; a dead link fails; needs node and npm
	cd .ci/site && npm ci --ignore-scripts --no-audit --no-fund && npm run build

build-matrix: ## Build without cgo, test SQLite in Go, and vet for Windows and macOS
	CGO_ENABLED=0 $(GO) build ./...
	ZHONGKONG_TEST=full CGO_ENABLED=0 $(GO) test -count 1 ./store/sqlite ./middleware/wechat ./examples/...
	GOOS=windows $(GO) vet ./...
	GOOS=darwin $(GO) vet ./...

cross: build-matrix

release: ## Build the archives of VERSION=v0.1.0, their SBOMs and checksums, into dist
	@rm -rf dist
	$(GO) run ./.ci/release -version "$(VERSION)"
