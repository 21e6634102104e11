#!/usr/bin/env bash
# Locust 2.47.0 with gevent 26.9.0: what an `init` listener takes is cut off the run time (-t).
#
# Locust starts the timer of -t by gevent.spawn_later, after the `init` event. gevent counts such a timer from when its
# loop last looked at the clock, which is before a listener that works for long without yielding (making images, reading
# files). A listener of three seconds and `-t 3s` give a test of no length: each user sends one request, or none, and
# Locust ends with status 0. `gevent.get_hub().loop.update_now()` at the end of the listener mends it.
#
# Seen: three seconds of preparation and -t 3s: 1 task run; with update_now about 30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check locust==2.47.0 gevent==26.9.0
cat >"$folder/locustfile.py" <<'PYTHON'
import os
import time

import gevent
from locust import User, constant, events, task

runs = 0


@events.init.add_listener
def prepare(**_):
    end = time.monotonic() + 3
    while time.monotonic() < end:
        pass
    if os.environ.get("UPDATE"):
        gevent.get_hub().loop.update_now()


@events.quitting.add_listener
def tell(**_):
    print("runs", runs)


class Sleeper(User):
    wait_time = constant(0.1)

    @task
    def work(self):
        global runs
        runs += 1
PYTHON
cd "$folder"
plain=$(venv/bin/locust -f locustfile.py --headless -u 1 -t 3s 2>/dev/null | awk '/^runs/{print $2}')
mended=$(UPDATE=1 venv/bin/locust -f locustfile.py --headless -u 1 -t 3s 2>/dev/null | awk '/^runs/{print $2}')
printf 'task runs in 3 s: %s, with update_now %s\n' "$plain" "$mended"
[ "$plain" -le 3 ] && [ "$mended" -ge 10 ] || { echo 'changed; expected at most 3, and at least 10' >&2; exit 1; }
echo "as described"
