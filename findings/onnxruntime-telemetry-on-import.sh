#!/usr/bin/env bash
# onnxruntime 1.32.0 on Linux: importing it writes a device id and a database of events under $HOME/.cache.
#
# The wheels of PyPI for Linux are built with telemetry, and it is on: before any session is made there are files in
# the home folder, in a container they fail with a line on standard error that no log format knows, and a running
# session looks up its vendor's collector. onnxruntime.disable_telemetry_events() comes after the import, and too late.
# The variable ORT_DISABLE_TELEMETRY=1, set before the import, switches it off.
#
# Seen: by import alone at least one file appears in an empty home; after disable_telemetry_events() too; with the
# variable none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0
# count_files PROGRAM [NAME=VALUE]: how many files a Python program leaves in an empty home
count_files() {
    local home="$folder/home"
    rm -rf "$home" && mkdir "$home"
    env -u XDG_CACHE_HOME HOME="$home" "${@:2}" "$folder/venv/bin/python" -c "$1" 2>"$folder/stderr"
    find "$home" -type f | wc -l
}
by_import=$(count_files 'import onnxruntime')
by_call=$(count_files 'import onnxruntime; onnxruntime.disable_telemetry_events()')
with_variable=$(count_files 'import onnxruntime' ORT_DISABLE_TELEMETRY=1)
printf 'files after import: %s, and after disable_telemetry_events(): %s, with the variable: %s\n' \
    "$by_import" "$by_call" "$with_variable"
[ "$by_import" -gt 0 ] && [ "$by_call" -gt 0 ] && [ "$with_variable" -eq 0 ] || { echo 'changed' >&2; exit 1; }
echo "as described"
