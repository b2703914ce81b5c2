#!/bin/sh
# setup.sh VENV PYTHON: make the virtual environment VENV with the pinned stack and this project
# in it. Does nothing where that was done already and no requirement changed since.
set -eu
venv=$1
python=$2

stamp="$venv/.fashion-setup"
wanted=$(cat requirements.txt requirements-dev.txt pyproject.toml scripts/setup.sh | cksum; pwd)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

if ! "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))'; then
    echo "setup: Python 3.10 to 3.13 expected, got $("$python" --version 2>&1). Name one: make PYTHON=python3.11 ..." >&2
    exit 1
fi
echo "setup: making $venv with $("$python" --version 2>&1); the CUDA build of torch is some 6 GB, once."
if ! [ -x "$venv/bin/python" ]; then
    "$python" -m venv "$venv" || {
        echo "setup: python -m venv failed. On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    }
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
printf '%s' "$wanted" > "$stamp"
