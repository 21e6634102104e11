#!/bin/sh
# Classifies an image by curl 7.76 or newer: asks again when the service is busy, prints its answer or its problem.
# usage: classify.sh IMAGE [URL]; API_KEY in the environment; the status is curl's, 22 for a problem
set -eu
image=${1:?usage: classify.sh IMAGE [URL]}
url=${2:-http://127.0.0.1:8000}

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
status=0
# The key goes by standard input: other users can read the arguments of a program. curl waits as long as Retry-After says.
if [ -n "${API_KEY:-}" ]; then printf 'header = "Authorization: Bearer %s"\n' "$API_KEY"; fi |
    curl --config - --silent --show-error --fail-with-body --retry 3 --retry-max-time 30 --retry-connrefused \
        --output "$answer" --form "image=@\"$image\"" "$url/classify?top_k=3" || status=$?
cat "$answer"
echo
exit "$status"
