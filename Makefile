# `make test` and `make demo` set up all they need. `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

CARGO := cargo
PREFIX ?= /usr/local
DESTDIR ?=

# Tools of .venv come first; a Go of its own is there only if the machine has none that is new enough.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
GO_IS_NEW_ENOUGH := $(shell GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p' | awk '$$1 >= 25')
GO_READY := $(if $(GO_IS_NEW_ENOUGH),,.venv/.go)

# No tool fetches another version of itself.
export GOTOOLCHAIN := local
export RUSTUP_AUTO_INSTALL := 0

# Go and C find the library that cargo built, under the name that its users load it by.
DEBUG := $(CURDIR)/target/debug
export CGO_CFLAGS := -I$(CURDIR)/include

# What is there to test; each part can also be run by itself.
PARTS := $(strip test-rust \
	$(if $(wildcard models/Cargo.toml),test-loom) \
	$(if $(wildcard python/pyproject.toml),test-python) \
	$(if $(wildcard go/go.mod),test-go) \
	test-hello test-example test-tunnel test-killed)

WHEEL_SOURCES := $(shell git ls-files core ffi python Cargo.toml Cargo.lock 2>/dev/null)

##@ Every day

.PHONY: demo
demo: tools .venv/.wheel $(GO_READY) release ## Relay, pool and pipe traffic from five languages, in one table
	examples/demo/run

.PHONY: test
test: $(PARTS) ## Everything, in every language
	@echo "all parts passed: $(PARTS)"

.PHONY: lint
lint: tools .venv/.ready $(GO_READY) ## Formatting, warnings, docs, licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --features trunkline-benches/channel -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	$(MAKE) deny
	ruff check .
	ruff format --check .
ifneq ($(wildcard go/go.mod),)
	unformatted=$$(gofmt -l go benches/go); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(MAKE) library
	cd go && $(GO_ENV) go vet ./...
	cd go/interop && $(GO_ENV) go vet ./...
	cd benches/go && $(GO_ENV) go vet ./...
endif

##@ Parts of the test

.PHONY: test-rust
test-rust: tools ## Rust: units, docs, and what users see across crates, C and C++ programs included
	$(CARGO) test --locked -p trunkline-core
	$(CARGO) test --locked -p trunkline -p trunkline-ffi -p trunkline-benches

.PHONY: test-c
test-c: tools ## Only the C and C++ programs of test-rust
	$(CARGO) test --locked -p trunkline --test c_programs

.PHONY: valgrind
valgrind: tools ## The C and C++ programs again, under valgrind (which must be there: apt-get install valgrind)
	command -v valgrind >/dev/null || { echo "missing: valgrind" >&2; exit 1; }
	TRUNKLINE_VALGRIND=1 $(CARGO) test --locked -p trunkline --test c_programs

.PHONY: test-loom
test-loom: tools ## Every interleaving of the small protocols
	$(CARGO) test --locked -p trunkline-models

.PHONY: test-python
test-python: tools .venv/.wheel ## The installed wheel: tests, types, stubs
	cd python && python -P -m pytest
	cd python && python -m mypy --strict trunkline tests
	cd python && python -P -m mypy.stubtest trunkline

.PHONY: test-go
test-go: tools $(GO_READY) library ## The Go package, under the race detector
	cd go && $(GO_ENV) go test -race -count=1 ./...
	if [ -f go/interop/go.mod ]; then cd go/interop && $(GO_ENV) go test -race -count=1 ./...; fi

.PHONY: test-hello
test-hello: tools .venv/.wheel $(GO_READY) library ## The README's program in each language
	examples/hello/run

.PHONY: test-example
test-example: tools .venv/.wheel $(GO_READY) library ## Connection management on real sockets, in four languages
	examples/connection_management/run

.PHONY: test-tunnel
test-tunnel: tools .venv/.wheel $(GO_READY) library ## A hub in Go, an agent in Python, and HTTP through them
	examples/tunnel/run

.PHONY: test-killed
test-killed: tools .venv/.wheel $(GO_READY) release ## A client of each language killed in mid-transfer: the counts stay exact
	examples/demo/run kill

.PHONY: test-peers
test-peers: tools .venv/.wheel $(GO_READY) library ## Against real servers; fails where one is missing (make peers)
	$(GO_ENV) tests/peers/run

##@ Now and then

.PHONY: peers
peers: ## Install what tests against real servers need from Debian (as root, or with sudo)
	scripts/setup peers

# Longer, or one of them: make fuzz FUZZ_SECONDS=600 FUZZ_TARGETS=probe_tcp
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
.PHONY: fuzz
fuzz: tools ## Every parser under cargo-fuzz, each for FUZZ_SECONDS (60)
	command -v cargo-fuzz >/dev/null || test -x .tools/bin/cargo-fuzz \
		|| $(CARGO) install --locked --quiet --root .tools cargo-fuzz@0.13.2
	for target in $(FUZZ_TARGETS); do \
		echo "$$target"; \
		PATH="$$PATH:$(CURDIR)/.tools/bin" RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run "$$target" -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=20000 -timeout=10; \
	done

# Ten minutes: make churn CHURN_SECONDS=600. A lost call, memory that is not given back, or a descriptor, is a failure.
CHURN_SECONDS ?= 120
.PHONY: churn
churn: tools ## Calls under restarts, partitions, silences and storms of GOAWAY, for CHURN_SECONDS (120)
	$(CARGO) run --locked -p trunkline-benches --features channel --bin churn -- $(CHURN_SECONDS)

# More rounds or a part of a table: make bench-pipe BENCH='--rounds 15 --only duplex'
.PHONY: bench-pipe
bench-pipe: tools ## The in-memory pipe beside its peers: benches/RESULTS.md
	$(CARGO) run --locked --release -p trunkline-benches --bin pipe -- $(BENCH)

.PHONY: bench-channel
bench-channel: tools .venv/.wheel $(GO_READY) release ## Channels beside tonic's, grpcio and grpc-go: benches/RESULTS.md
	cd benches/go/channel && CGO_LDFLAGS= go build -o ../../../target/benches/channel-go .
	$(CARGO) run --locked --release -p trunkline-benches --features channel --bin channel -- $(BENCH)

.PHONY: bench-l4
bench-l4: tools ## The relay beside HAProxy and nginx (make peers): benches/RESULTS.md
	$(CARGO) run --locked --release -p trunkline-benches --bin l4 -- $(BENCH)

.PHONY: bench-tunnel
bench-tunnel: tools ## The tunnel beside OpenSSH's (make peers): benches/RESULTS.md
	$(CARGO) run --locked --release -p trunkline-benches --bin tunnel -- $(BENCH)

.PHONY: bench-pool
bench-pool: tools .venv/.wheel $(GO_READY) release ## The pools beside those of Rust, Go and Python: benches/RESULTS.md
	scripts/setup bench-tools
	cd benches/go && CGO_LDFLAGS= go build -o ../../target/benches/pool-go .
	$(CARGO) run --locked --release -p trunkline-benches --bin pool -- $(BENCH)

# A library and the Rust programs beside it in one go: cargo builds each crate once for all of them. With
# the root package among them, the debug library is the very one of test-rust.
.PHONY: library
library: tools ## The debug library in target/debug, which the tests of Go and C use
	$(CARGO) build --locked -p trunkline -p trunkline-ffi -p trunkline-examples --lib --bin hello --bin connection_management
	$(call soname_link,target/debug)

.PHONY: release
release: tools ## The library in target/release, which Go programs link by default
	$(CARGO) build --locked --release -p trunkline-ffi -p trunkline-examples --lib --bin demo --bin demo-client
	$(call soname_link,target/release)

.PHONY: header
header: tools ## Render include/trunkline.h anew
	TRUNKLINE_WRITE_HEADER=1 $(CARGO) test --locked -p trunkline --test header

.PHONY: install
install: tools ## Header, libraries and pkg-config file into $(DESTDIR)$(PREFIX)
	$(CARGO) build --locked --release -p trunkline-ffi
	scripts/install "$(PREFIX)" "$(DESTDIR)"

.PHONY: deny
deny: ## Licences, bans and sources of every dependency
	command -v cargo-deny >/dev/null || test -x .tools/bin/cargo-deny \
		|| $(CARGO) install --locked --quiet --root .tools cargo-deny@0.20.2
	PATH="$$PATH:$(CURDIR)/.tools/bin" cargo-deny --workspace --locked check bans licenses sources

.PHONY: clean
clean: ## Remove all that was built or set up, except the tools under .tools
	rm -rf target .venv

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

# What the rest stands on.

.PHONY: tools
tools:
	@scripts/setup tools

.venv/.ready: python/requirements-dev.txt scripts/setup | tools
	scripts/setup venv

.venv/.go: | .venv/.ready
	scripts/setup go

# As users install it, but with the build tools that are pinned, and so without network.
.venv/.wheel: $(WHEEL_SOURCES) | .venv/.ready
	MATURIN_PEP517_ARGS=--locked python -m pip install --quiet --no-build-isolation --no-deps --force-reinstall ./python
	touch $@

# $(1): folder of the library. Programs load it by its soname, cargo does not make that name.
soname_link = soname=$$(objdump -p $(1)/libtrunkline.so | awk '/SONAME/ { print $$2 }'); \
	test -z "$$soname" || ln -sf libtrunkline.so $(1)/$$soname

GO_ENV = CGO_LDFLAGS="-L$(DEBUG) -Wl,-rpath,$(DEBUG)"
