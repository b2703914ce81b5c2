# make test    set up, then every test that a CPU can run
# make demo    set up, then from nothing to a trained, evaluated model with pictures
# make lint    set up, then ruff and mypy
#
# VENV=<folder>, PYTHON=<interpreter> and DEMO="--seed 1" may be given. Nothing has to be done before any of them.

VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
SHELL := /bin/sh

.PHONY: help setup test demo lint clean
help:
	@sed -n '1,5s/^# //p' Makefile

setup:
	@sh scripts/setup.sh "$(VENV)" "$(PYTHON)"

test: setup
	"$(BIN)/python" -m pytest -m "not gpu" --durations=8
	"$(BIN)/fashion" env

demo: setup
	"$(BIN)/fashion" demo --force $(DEMO)

lint: setup
	"$(BIN)/ruff" check .
	"$(BIN)/mypy" fashion_mmdet/core fashion_mmdet/sweeps datasets_tools

clean:
	rm -rf "$(VENV)" .pytest_cache .ruff_cache .mypy_cache
