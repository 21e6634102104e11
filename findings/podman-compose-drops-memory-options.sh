#!/usr/bin/env bash
# podman-compose 1.6.0: a service's memswap_limit, mem_swappiness and oom_score_adj are passed to no option of podman, and
# no word is said about it.
#
# The Compose specification has all three, Docker Compose applies them, and podman has the options: --memory-swap,
# --memory-swappiness, --oom-score-adj. mem_limit beside them is applied (-m). So a container that Docker kills at its
# memory limit may, from the same file, swap as much again here; and where an operator chose which container dies first,
# nothing is chosen.
#
# Seen: `--dry-run up` writes `podman create ... -m 64m ...` without any of the three options, exit status 0, no warning.
# A stand-in for podman that knows its version suffices: nothing is started.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check podman-compose==1.6.0
mkdir "$folder/bin" "$folder/project"
# shellcheck disable=SC2016 # it is the stand-in that expands them
printf '#!/bin/sh\ncase "$1" in --version) echo podman version 5.0.0 ;; ps) echo "[]" ;; esac\n' >"$folder/bin/podman"
chmod +x "$folder/bin/podman"
cat >"$folder/project/compose.yaml" <<'YAML'
services:
  one:
    image: docker.io/library/busybox:1.36
    mem_limit: 64m
    memswap_limit: 64m
    mem_swappiness: 0
    oom_score_adj: 500
YAML
cd "$folder/project"
PATH="$folder/bin:$PATH" "$folder/venv/bin/podman-compose" --verbose --dry-run up -d >"$folder/log" 2>&1
create=$(grep -o 'podman create .*' "$folder/log")
printf '%s\n' "$create"
case "$create" in *' -m 64m '*) ;; *) echo 'changed: mem_limit is not applied' >&2; exit 1 ;; esac
for option in --memory-swap --memory-swappiness --oom-score-adj; do
    case "$create" in *"$option"*) echo "changed: $option is passed on" >&2; exit 1 ;; esac
done
if grep -iE 'memswap|swappiness|oom_score|warning' "$folder/log"; then
    echo 'changed: something is said about it' >&2
    exit 1
fi
echo 'as described: mem_limit is applied, the other three are dropped without a word'
