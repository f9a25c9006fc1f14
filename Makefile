# SPDX-License-Identifier: Apache-2.0
# Short names for the usual commands. CMake does the building: CONTRIBUTING.md has its presets.
# Each goal but `proof` and `docs` first installs and builds what it needs, so a fresh clone can start with any of them.

SHELL := /bin/bash
JOBS ?= $(shell nproc)
BUILD := build/cpu-release
THERMOE := $(BUILD)/src/cli/thermoe

.PHONY: help setup configure build test demo gpu-demo proof docs check clean

help:
	@echo 'make demo    set up, build, run the comparison of routing strategies; prints a table, writes report.html'
	@echo 'make gpu-demo   the same on this machine'"'"'s GPU: measured, not simulated (docs/gpu.md)'
	@echo 'make test    set up, build, run every test'
	@echo 'make check   everything a change must pass: format, layers, warnings, tests, sanitizers, lint'
	@echo 'make proof   let Coq check the proofs of docs/theory.md (tools/setup --proof installs Coq)'
	@echo 'make docs    make a PDF of docs/theory.md, build/docs/theory.pdf (tools/setup --docs installs pandoc and a browser)'
	@echo 'make build   set up and build the cpu-release preset into $(BUILD)'
	@echo 'make setup   install what is missing (tools/setup says what and why)'
	@echo 'make clean   remove build/; runs/ and the shared LibTorch stay'

setup:
	@tools/setup

configure: setup
	@cmake --preset cpu-release >/dev/null

build: configure
	cmake --build --preset cpu-release --parallel $(JOBS)

test: build
	ctest --preset cpu-release --parallel 2

# The demo needs no test program, so it builds only the one binary.
demo: configure
	cmake --build --preset cpu-release --parallel $(JOBS) --target thermoe
	@$(THERMOE) run experiments/demo.json
	@if nvidia-smi -L >/dev/null 2>&1 && command -v nvcc >/dev/null; then \
	  echo 'This machine has a GPU: `make gpu-demo` runs the like of it there, with watts that are measured.'; fi

gpu-demo: setup
	@cmake --preset cuda-release >/dev/null
	cmake --build --preset cuda-release --parallel $(JOBS) --target thermoe
	@exec build/cuda-release/src/cli/thermoe run experiments/gpu_cap.json --quick

# Needs nothing but Coq, which it asks for: the rest of the project does not.
proof:
	@tools/check_proof.py

docs:
	@tools/build_docs.py

check: setup
	tools/check

clean:
	rm -rf build
