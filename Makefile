# make demo   the main job on real servers (ONCE=1: ends after the comparison)
# make test   all tests, those against real HBase and Kafka included; SEED=n repeats the random ones
SHELL := /bin/bash
SEED ?= $(shell date +%s)
export SEED

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build demo test unit e2e lint deps fuzz

build:
	go build -o bin/waltap .

deps:
	@e2e/deps.sh

demo: deps build
	go run ./e2e/demo

test: deps lint unit e2e

lint:
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	go vet -tags e2e ./...
	go run $(STATICCHECK) -tags e2e ./...

unit:
	go test ./...

e2e: deps
	@echo "SEED=$(SEED)"
	go test -tags e2e -count=1 -p 1 -timeout 20m ./e2e/...

# each fuzz target for a while: make fuzz FUZZTIME=60s
FUZZTIME ?= 20s
fuzz:
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; done
