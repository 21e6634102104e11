#!/usr/bin/env bash
# uv 0.13.9: `uv pip compile --python-version 3.11` locks a version that Python 3.11 may not install, if the
# package bounds its Python from above. uv ignores such bounds; pip keeps them, and refuses the lock file.
#
# backports-strenum 1.3.1 says Requires-Python >=3.8.6,<3.11, because later Pythons have StrEnum; 1.2.8 has no bound.
# ai-edge-litert (LiteRT) asks for it on every Python, so a lock file for LiteRT needs backports-strenum<1.3 as a line of
# its own. The same holds for each package that leaves a new Python behind.
#
# Seen: uv locks 1.3.1, which pip does not find; without a lock file pip installs 1.2.8.
set -euo pipefail
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'needs Python 3.11 or newer' >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" "$@" --quiet --disable-pip-version-check; }
pip install uv
"$folder/venv/bin/uv" --version
echo backports-strenum >"$folder/wanted.in"
"$folder/venv/bin/uv" pip compile --quiet --no-header --no-annotate --python-version 3.11 "$folder/wanted.in" \
  -o "$folder/lock.txt"
locked=$(cat "$folder/lock.txt")
if pip install -r "$folder/lock.txt" 2>"$folder/errors"; then echo 'changed: pip installs it' >&2; exit 1; fi
grep -q 'No matching distribution' "$folder/errors" || { cat "$folder/errors" >&2; exit 1; }
pip install -r "$folder/wanted.in"
found=$("$folder/venv/bin/python" -c 'from importlib.metadata import version; print(version("backports.strenum"))')
printf 'uv locks %s, which pip refuses; pip alone installs %s\n' "$locked" "$found"
test "$locked" != "backports-strenum==$found" || { echo 'changed' >&2; exit 1; }
echo "as described"
