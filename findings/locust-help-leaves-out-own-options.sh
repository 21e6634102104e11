#!/usr/bin/env bash
# Locust 2.47.0: `locust -f FILE --help` does not print the options that FILE adds.
#
# Options of one's own are added by a listener of init_command_line_parser, and are documented like Locust's. But --help is
# acted on by parse_locustfile_option, before the file is imported, so that the listener is never called. An argument of
# one's own with action="help" prints them all.
#
# Seen: --help without the option, --all-options with it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check locust==2.47.0
cat >"$folder/locustfile.py" <<'PYTHON'
from locust import User, events, task


@events.init_command_line_parser.add_listener
def add_options(parser):
    parser.add_argument("--of-the-file", help="an option of the file")
    parser.add_argument("--all-options", action="help")


class Idle(User):
    @task
    def work(self):
        pass
PYTHON
cd "$folder"
plain=$(venv/bin/locust -f locustfile.py --help | grep -c -e '--of-the-file' || true)
whole=$(venv/bin/locust -f locustfile.py --all-options | grep -c -e '--of-the-file' || true)
printf 'lines with the option: --help %s, --all-options %s\n' "$plain" "$whole"
[ "$plain" -eq 0 ] && [ "$whole" -ge 1 ] || { echo 'changed; expected 0, and at least 1' >&2; exit 1; }
echo "as described"
