# `make` lists the targets.
SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

.PHONY: help demo test bench soak fuzz lint

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 14

demo: ## a mesh of three nodes on this machine, with traffic; ONCE=1 ends after the table
	@tests/setup.sh demo
	cargo build --release --locked --bins
	@target/release/twinmesh-demo $(if $(filter-out 0,$(ONCE)),--once)

test: ## everything: formatting, lints, licences, unit tests, whole system in the lab
	@tests/setup.sh test
	@tests/run.sh

bench: ## twinmesh beside its peers, then ESP beside the bare ciphers, IKE, the relay; ARGS="--only NAMES --seconds N --rounds N"
	@tests/setup.sh bench
	cargo build --release --locked --bins
	cargo build --release --locked -p twinmesh-agent --features null --target-dir target/bench-null
	target/release/twinmesh-bench run $(ARGS)
	cargo bench --locked -p twinmesh-esp -p twinmesh-ike
	cargo bench --locked -p twinmesh-interop --bench responder
	cargo bench --locked -p twinmesh-interop --bench relay

soak: ## ten minutes of mixed load on a mesh that changes all the time, then gigabytes over a rough line; ARGS="--seconds N --megabytes N"
	@tests/setup.sh soak
	cargo build --release --locked --bins
	target/release/twinmesh-soak $(ARGS)

fuzz: ## what reads packets, ten minutes for each target; SECONDS=n for less
	@tests/fuzz/run.sh all $(or $(SECONDS),600)

lint: ## formatting and lints only
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --features twinmesh-agent/null -- -D warnings
