# A thin front for meson: the verbs people type.
BUILD ?= build
TEST_BUILD ?= build-test
PREFIX ?= /usr/local

.DEFAULT_GOAL := all
.PHONY: all run test conformance conformance-real bench bench-bind storm check check-all fuzz coverage install clean help build-packages

help: ## say what each verb does
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

all: build-packages $(BUILD)/build.ninja ## build the program: build/sluice
	@ninja -C $(BUILD)

build-packages:
	@build-aux/install-packages.sh build

$(BUILD)/build.ninja: | build-packages
	@meson setup $(BUILD) --prefix $(PREFIX)

run: all ## the main job on real input: a mounted, cached dataset and its speeds
	@build-aux/install-packages.sh run
	@examples/demo/run.sh $(BUILD)/sluice

$(TEST_BUILD)/build.ninja: | build-packages
	@build-aux/install-packages.sh run test
	@meson setup $(TEST_BUILD) -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false --werror

test: $(TEST_BUILD)/build.ninja ## unit, conformance and end-to-end tests with ASan and UBSan
	@build-aux/install-packages.sh run test
	@ninja -C $(TEST_BUILD)
	@test/run.sh $(TEST_BUILD)

conformance: $(TEST_BUILD)/build.ninja ## the API suite alone; KUBECONFIG=FILE: against that cluster
	@ninja -C $(TEST_BUILD) sluice test/conformance/client/conformance
	@test/conformance/run.sh $(TEST_BUILD)

conformance-real: $(TEST_BUILD)/build.ninja ## the API suite against real API servers that it starts (test/kubernetes/build.sh first)
	@ninja -C $(TEST_BUILD) sluice test/conformance/client/conformance
	@test/kubernetes/run.sh $(TEST_BUILD)

bench: all ## measure the main job against the disk and curl, and write its section of docs/benchmarks.md
	@build-aux/install-packages.sh run test
	@test/bench/run.sh $(BUILD)/sluice

soak: all ## long runs: caches while the API server is killed again and again; a mount's server killed under readers; the controller killed before each write
	@test -f $(TEST_BUILD)/build.ninja || meson setup $(TEST_BUILD) -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false --werror
	@build-aux/install-packages.sh run test
	@test/soak/run.sh $(BUILD) $(TEST_BUILD)

bench-kube: all ## measure the Kubernetes client layer, and write its section of docs/benchmarks.md
	@ninja -C $(BUILD) test/bench/bench_kube
	@test/bench/kube.sh $(BUILD)

bench-bind: all ## measure how long many Datasets take to be bound, and write its section of docs/benchmarks.md (KUBECONFIG: on that server)
	@ninja -C $(BUILD) test/bench/bench_bind
	@test/bench/bind.sh $(BUILD)/sluice $(BUILD)/test/bench/bench_bind

bench-api: all ## measure the API server beside etcd and kube-apiserver, and write its section of docs/benchmarks.md
	@ninja -C $(BUILD) test/load/bench
	@test/bench/api.sh $(BUILD)

CHECKS ?= build-check

check: build-packages ## static analysis of what changed (BASE=commit: since then)
	@build-aux/install-packages.sh check
	@build-aux/check.sh $(CHECKS)

check-all: build-packages ## static analysis of everything; clang, data races, valgrind and failing allocations
	@build-aux/install-packages.sh run test check
	@build-aux/check-all.sh $(CHECKS)

storm: build-packages ## kill the API server under writers and watchers ROUNDS (200) times: nothing may be lost
	@build-aux/install-packages.sh test
	@test -f $(TEST_BUILD)/build.ninja || meson setup $(TEST_BUILD) -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false --werror
	@ninja -C $(TEST_BUILD) sluice test/load/storm
	@$(TEST_BUILD)/test/load/storm $(TEST_BUILD)/sluice $(or $(ROUNDS),200)

fuzz: build-packages ## each parser under libFuzzer for SECONDS (60); TARGETS="json yaml": only these
	@build-aux/install-packages.sh check
	@build-aux/fuzz.sh $(CHECKS)-fuzz $(or $(SECONDS),60) $(TARGETS)

coverage: build-packages ## lines and branches that the unit tests reach, by folder
	@build-aux/install-packages.sh test check
	@build-aux/coverage.sh $(CHECKS)-coverage

install: all ## install the program below PREFIX (default: what BUILD was set up with, /usr/local)
ifneq ($(filter command environment,$(firstword $(origin PREFIX))),)
	@meson configure $(BUILD) --prefix $(PREFIX)
	@ninja -C $(BUILD)
endif
	@meson install -C $(BUILD) --no-rebuild

clean: ## remove what was built
	@rm -rf $(BUILD) $(TEST_BUILD) $(CHECKS) $(CHECKS)-*
