#!/usr/bin/env bash
# Pillow 13.0.0: Image.resize of a tall image gives other pixels than Pillow 12.2.0 does; of a wide or square one the same.
#
# Resizing is two passes with 8 bits between them, so their order shows in the last bit. Up to 12 rows were shrunk first.
# Since 13 columns are, where the height shrinks by more than twice as many pixels as the width. Filter, size and mode do
# not matter, and the documents of resize name no order. A network was trained on pixels of one order: after an update of
# the library portrait photos reach it a level beside those, landscape photos do not, and a test with one square image
# notices nothing. Answers of binary networks, whose inputs are compared with thresholds, move with such levels.
#
# Seen (x86-64): 200x600 to 80x80, all filters: a seventh of the levels are others, by 1 or 2; 600x200, 200x300 and
# 400x400: none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/resize.py" <<'PYTHON'
import random
import sys

from PIL import Image

generator = random.Random(1)
with open(sys.argv[1], "wb") as out:
    for width, height in ((200, 600), (600, 200), (200, 300), (400, 400)):
        image = Image.frombytes("RGB", (width, height), generator.randbytes(width * height * 3))
        for name in ("BOX", "BILINEAR", "BICUBIC", "LANCZOS"):
            out.write(image.resize((80, 80), getattr(Image.Resampling, name)).tobytes())
PYTHON
for version in 12.2.0 13.0.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "pillow==$version"
    "$folder/$version/bin/python" "$folder/resize.py" "$folder/$version.bin"
done
python3 - "$folder/12.2.0.bin" "$folder/13.0.0.bin" <<'PYTHON'
import sys

before, after = (open(path, "rb").read() for path in sys.argv[1:])
size, fault = 80 * 80 * 3, False
for i, shape in enumerate(("200x600", "600x200", "200x300", "400x400")):
    for j, name in enumerate(("box", "bilinear", "bicubic", "Lanczos")):
        at = (4 * i + j) * size
        pairs = zip(before[at : at + size], after[at : at + size], strict=True)
        found = [abs(a - b) for a, b in pairs if a != b]
        print(f"{shape} {name}: {len(found) / size:.1%} of the levels differ, by at most {max(found, default=0)}")
        fault |= (not found) if i == 0 else bool(found)
sys.exit("changed" if fault else 0)
PYTHON
echo 'as described'
