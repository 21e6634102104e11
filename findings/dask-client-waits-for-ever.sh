#!/usr/bin/env bash
# distributed 2026.8.0: a task that raises can leave its client waiting for ever. If the traceback cannot be pickled on
# the worker, its text is sent instead, pickled; the client unpickles a str where it asserts a traceback, logs
# "AssertionError", and the future stays "pending". A RecursionError is enough: its traceback is too deep for pickle.
#
# So a task whose failure matters returns it, instead of raising; result(timeout=) bounds the wait, but not the cause.
# The second surprise: a client with set_as_default=False of an address without a port says so at once, and if the exception
# is kept, the interpreter waits for 40 s at its end: Client.__del__ asks a loop that runs no more.
#
# Seen: the future of a task that raises ValueError is "error" at once; that of a RecursionError is "pending" after 10 s.
set -euo pipefail
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'needs Python 3.11 or newer' >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check distributed==2026.8.0
cat >"$folder/tasks.py" <<'END'
def fail():
    raise ValueError("an ordinary fault")


def dive():
    dive()
END
cat >"$folder/ask.py" <<'END'
import sys
import time

from distributed import Client, LocalCluster
from tasks import dive, fail

if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        with Client(cluster) as client:
            futures = [client.submit(fail), client.submit(dive)]
            time.sleep(10)
            found = [future.status for future in futures]
            print("ValueError:", found[0], " RecursionError:", found[1])
            sys.exit(found != ["error", "pending"])
END
(cd "$folder" && PYTHONPATH="$folder" timeout 100 venv/bin/python ask.py 2>"$folder/log") || { echo 'changed' >&2; exit 1; }
grep -q AssertionError "$folder/log" || { echo 'changed: no AssertionError' >&2; exit 1; }
cat >"$folder/wrong.py" <<'END'
from distributed import Client

try:
    Client("nonsense", timeout=20, set_as_default=False)
except ValueError as fault:
    kept = fault
END
began=$SECONDS
timeout 100 "$folder/venv/bin/python" "$folder/wrong.py" 2>/dev/null
printf 'a client of a wrong address ended after %s s\n' "$((SECONDS - began))"
test "$((SECONDS - began))" -ge 30 || { echo 'changed: it does not wait' >&2; exit 1; }
echo "as described"
