#!/usr/bin/env bash
# MNN 3.6.1 (PyPI), Linux: the program mnnconvert installs another package with the first pip on PATH, which need not be
# that of its own environment, and asks a server of its vendor for keys to log with. `mnnconvert --help` is enough.
#
# MNN/tools/utils/log.py runs os.system("pip install -U aliyun-log-python-sdk") where that package is missing: no version,
# no hash, and into another Python if the environment is not activated. After a conversion it sends the machine's id
# (/etc/machine-id), the system, the version, the arguments and the model's size and id. There is no switch, and errors
# are swallowed. mnnquant imports the same. The compiled module `_tools` under them converts without either.
#
# Seen: pip is called, twice; after a stand-in for the package, a look-up of a host of the vendor; with `_tools`, neither.
# Nothing is installed here and nothing sent: pip on PATH is a stand-in, and the name is looked up without a network.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mnn==3.6.1
mkdir "$folder/bin"
# The first pip on PATH: writes down what it is asked for, and leaves an empty package that can be imported.
cat >"$folder/bin/pip" <<'SHELL'
#!/bin/sh
echo "pip $*" >>"$CALLS"
SHELL
chmod +x "$folder/bin/pip"
mkdir -p "$folder/stand-in/aliyun/log"
touch "$folder/stand-in/aliyun/__init__.py"
printf '%s\n' 'LogClient = PutLogsRequest = None' >"$folder/stand-in/aliyun/log/__init__.py"
printf '%s\n' 'LogItem = None' >"$folder/stand-in/aliyun/log/logitem.py"
# Python imports this first: it writes down names that are looked up, and answers none.
cat >"$folder/stand-in/sitecustomize.py" <<'PYTHON'
import os
import socket


def refuse(host, *rest, **more):
    with open(os.environ["CALLS"], "a") as calls:
        print("look-up", host, file=calls)
    raise socket.gaierror("no network here")


socket.getaddrinfo = refuse
PYTHON
convert() { # sees $1 on PYTHONPATH, runs the rest
  : >"$folder/calls"
  CALLS="$folder/calls" PATH="$folder/bin:$PATH" PYTHONPATH="$1" \
    "$folder/venv/bin/python" "${@:2}" >/dev/null 2>&1 || true
  cat "$folder/calls"
}
without=$(convert '' "$folder/venv/bin/mnnconvert" --help | sort -u)
with=$(convert "$folder/stand-in" "$folder/venv/bin/mnnconvert" --help)
below=$(convert "$folder/stand-in" -c 'import _tools; _tools.mnnconvert(["mnnconvert", "--help"])')
printf 'mnnconvert: %s\n  with the package there: %s\n_tools: %s\n' "$without" "$with" "${below:-nothing}"
test "$without" = 'pip install -U aliyun-log-python-sdk' || { echo 'changed' >&2; exit 1; }
case "$with" in 'look-up '*aliyuncs.com) ;; *) echo 'changed' >&2; exit 1 ;; esac
test -z "$below" || { echo 'changed' >&2; exit 1; }
echo "as described"
