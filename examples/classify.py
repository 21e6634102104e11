#!/usr/bin/env python3
"""Classifies image files with bnn_client: classify.py IMAGE... [--url URL] [--model NAME]."""

import argparse
import os
import sys

from bnn_client import Client, ClientError, Overloaded, ServiceError


def main() -> int:
    """Prints the best label of each image; returns 1 if there is one without an answer."""
    parser = argparse.ArgumentParser(
        description="Asks a bnn-service what is in images. API_KEY in the environment is its key."
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument(
        "--model", metavar="NAME", help="of several that are served; else the default"
    )
    options = parser.parse_args()
    status = 0
    with Client(options.url, api_key=os.environ.get("API_KEY")) as client:
        for image in options.images:
            try:
                # Waits and asks again if the service is busy.
                answer = client.classify(image, model=options.model)
                doubt = f" ({answer.notice})" if answer.notice else ""
                print(f"{image}: {answer.best.label} {answer.best.score:.3f}{doubt}")
                continue
            except Overloaded as error:  # still, after several times
                print(f"{image}: busy; ask again in {error.retry_after} s", file=sys.stderr)
            except ServiceError as error:
                text = f"{error.code}: {error.detail} (request {error.request_id})"
                print(f"{image}: {text}", file=sys.stderr)
            except (ClientError, OSError) as error:
                print(f"{image}: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
