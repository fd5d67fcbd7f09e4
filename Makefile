# make demo   the main job on real servers (ONCE=1: ends after the comparison)
# make test   all tests, those against real HBase and Kafka included; SEED=n repeats the random ones
# make torture   the end-to-end tests at the stated size: more kills, longer, larger; SEED=n repeats
# make bench   measures waltap beside HBase's own tools and writes docs/performance.*; RUN=regex ROUNDS=n SCALE=x PROFILE=dir STRICT=1
SHELL := /bin/bash
SEED ?= $(shell date +%s)
export SEED
# What was compiled in one clone serves the next.
export GOFLAGS := $(shell go env GOFLAGS) -trimpath

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build demo test torture bench bench-test unit e2e lint deps browser deploy-check fuzz

build:
	go build -o bin/waltap .

deps:
	@e2e/deps.sh

# the browser that the web page is tested in
browser:
	@e2e/deps.sh chromium

demo: deps build
	go run ./e2e/demo

test: deps lint unit e2e

lint:
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	go vet -tags e2e,bench,deploy ./...
	go vet -tags waltap_crash,waltap_ack_early,waltap_unfenced,waltap_watermark_unproved ./internal/crash ./source/...
	go run $(STATICCHECK) -tags e2e,deploy ./...

unit:
	go test ./...
	go test -tags waltap_crash ./internal/crash

e2e: deps browser
	@echo "SEED=$(SEED)"
	e2e/run.sh

# What is in deploy/, by the tools it is meant for: promtool, helm, kubeconform, the reader of docker compose, systemd-analyze, and a release. The first
# time the tools are built (200 s of CPU) into the cache folder. Part of make e2e.
deploy-check:
	go test -tags deploy -count=1 -timeout 30m ./deploy

# TORTURE=1 is what the tests look at; RUN=TestHistory chooses some
RUN ?= .
torture: deps browser
	@echo "SEED=$(SEED)"
	TORTURE=1 go test -tags e2e -count=1 -p 1 -parallel 1 -timeout 6h -v -run '$(RUN)' ./e2e/... ; status=$$?; echo "SEED=$(SEED)"; exit $$status

# All lines at full size are written to docs; part of them, or another size, to the terminal only.
# The result is JSON=file and MARKDOWN=file (a page with the two marks) where these are given.
ROUNDS ?= 4
SCALE ?= 1
ifeq ($(RUN) $(SCALE),. 1)
JSON ?= docs/performance.json
MARKDOWN ?= docs/performance.md
endif
bench: deps
	go run ./e2e/bench -run='$(RUN)' -rounds=$(ROUNDS) -scale=$(SCALE) -profile='$(PROFILE)' -json='$(JSON)' -markdown='$(MARKDOWN)' $(foreach k,$(KEYS),-key='$(k)') $(if $(STRICT),-strict)

# that every kind of line of the bench works, at a tiny size: a minute
bench-test: deps
	go test -tags e2e,bench -count=1 -timeout 10m -run TestEveryLineYieldsItsFigures ./e2e/bench

# each fuzz target for a while: make fuzz FUZZTIME=60s
FUZZTIME ?= 20s
fuzz:
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p || exit 1; \
	  done; done
