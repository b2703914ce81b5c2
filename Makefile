# make test    set up, then every test that a CPU can run
# make demo    set up, then from nothing to a trained, evaluated model with pictures
# make lint    set up, then ruff and mypy
#
# VENV=<folder>, PYTHON=<interpreter>, WORKERS=<tests at once> and DEMO="--seed 1" may be given.
# Nothing has to be done before any of them.

VENV ?= .venv
PYTHON ?= python3
# Each takes a core and up to 3.5 GB of memory.
WORKERS ?= 2
BIN = $(VENV)/bin
SHELL := /bin/sh

.PHONY: help setup test demo lint clean
help:
	@sed -n '1,6s/^# //p' Makefile

setup:
	@sh scripts/setup.sh "$(VENV)" "$(PYTHON)"

test: setup
	OMP_NUM_THREADS=1 "$(BIN)/python" -m pytest -m "not gpu" --durations=8 \
		-n $(WORKERS) --dist loadfile --no-loadscope-reorder
	"$(BIN)/fashion" env

demo: setup
	"$(BIN)/fashion" demo --force $(DEMO)

lint: setup
	"$(BIN)/ruff" check .
	"$(BIN)/mypy" fashion_mmdet/core fashion_mmdet/sweeps fashion_mmdet/tuning datasets_tools

clean:
	rm -rf "$(VENV)" .pytest_cache .ruff_cache .mypy_cache
