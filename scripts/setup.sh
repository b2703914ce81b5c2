#!/bin/sh
# setup.sh VENV PYTHON: make the virtual environment VENV with the pinned stack and this project
# in it. Does nothing where that was done already and no requirement changed since.
set -eu
venv=$1
python=$2

stamp="$venv/.fashion-setup"
works() { [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version > /dev/null 2>&1; }
wanted=$(cat requirements.txt requirements-dev.txt pyproject.toml scripts/setup.sh | cksum; pwd)
if works && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

if ! works; then
    if ! "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))'; then
        echo "setup: Python 3.10 to 3.13 expected, got '$python'. Name one: make PYTHON=python3.11 ..." >&2
        exit 1
    fi
    if [ -e "$venv" ] && ! [ -e "$venv/pyvenv.cfg" ]; then
        echo "setup: a virtual environment or nothing expected at $venv, found something else. Name another: make VENV=..." >&2
        exit 1
    fi
    # --clear: what is there, if anything, is a venv whose making was cut short.
    "$python" -m venv --clear "$venv" || {
        echo "setup: python -m venv failed. On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    }
fi
echo "setup: filling $venv ($("$venv/bin/python" --version)); the CUDA build of torch is some 6 GB, once."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
printf '%s' "$wanted" > "$stamp"
