#!/usr/bin/env bash
# opentelemetry-sdk 1.45.2: force_flush(timeout_millis) of the batch span processor takes as long as the exporter likes.
#
# The specification gives ForceFlush a time-out, and the method takes one. The batch processor hands the export over to
# the exporter without it: with an exporter that takes three seconds, force_flush(100) returns after three seconds.
# Whoever flushes while stopping, within the grace time of an orchestrator, needs a bound of his own, a thread for one.
#
# Seen: force_flush(100) with an exporter that sleeps 3 s returned after 3.0 s.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.2 opentelemetry-api==1.45.2
cat >"$folder/look.py" <<'PYTHON'
import time

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult


class Slow(SpanExporter):
    """Takes its time, as one does that waits for a collector."""

    def export(self, spans):
        time.sleep(3)
        return SpanExportResult.SUCCESS


provider = TracerProvider(shutdown_on_exit=False)
processor = BatchSpanProcessor(Slow())
provider.add_span_processor(processor)
provider.get_tracer("look").start_span("a").end()
began = time.monotonic()
processor.force_flush(100)
print("kept the time-out" if time.monotonic() - began < 1 else "waited for the exporter")
PYTHON
found=$("$folder/venv/bin/python" "$folder/look.py")
echo "$found"
[ "$found" = 'waited for the exporter' ] || { echo 'changed' >&2; exit 1; }
echo "as described"
