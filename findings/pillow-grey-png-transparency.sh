#!/usr/bin/env bash
# Pillow 13.0.0: the transparent grey of a PNG with 2 or 4 bits a sample is opaque.
#
# PNG names one grey as transparent by a tRNS chunk, in the sample's own range (PNG specification, 11.3.2.1): 15 in a
# file of 4 bits is white. Pillow stretches the samples to 0..255 while it decodes, but not the value of tRNS, and
# compares the two. So white stays opaque at 2 and 4 bits, and works at 1 bit (where it scales both) and at 8 bits.
# A service that composites transparent images on white then shows what should not be seen.
#
# Seen: alpha of [black, white] with white transparent: 1 bit 255 0, 2 bits 255 255, 4 bits 255 255, 8 bits 255 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0
cat >"$folder/look.py" <<'PYTHON'
import io
import struct
import zlib

from PIL import Image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_grey_png(bits: int) -> bytes:
    """Two pixels, black and white; white is the transparent colour."""
    white = 2**bits - 1
    row = white << 16 - 2 * bits  # black is zeros
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0)),
            chunk(b"tRNS", struct.pack(">H", white)),
            chunk(b"IDAT", zlib.compress(b"\0" + row.to_bytes(2, "big")[: max(1, bits // 4)])),
            chunk(b"IEND", b""),
        )
    )


for bits in (1, 2, 4, 8):
    image = Image.open(io.BytesIO(make_grey_png(bits))).convert("RGBA")
    print(bits, *(pixel[3] for pixel in image.get_flattened_data()))
PYTHON
found=$("$folder/venv/bin/python" "$folder/look.py")
expected=$'1 255 0\n2 255 255\n4 255 255\n8 255 0'
printf 'bits, alpha of black and of white:\n%s\n' "$found"
[ "$found" = "$expected" ] || { printf 'changed; expected:\n%s\n' "$expected" >&2; exit 1; }
echo "as described"
