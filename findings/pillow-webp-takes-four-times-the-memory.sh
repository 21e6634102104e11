#!/usr/bin/env bash
# Pillow 13.0.0: a still WebP takes 16 bytes a pixel while it is decoded, where JPEG and PNG of the same pixels take 4.
#
# Pillow keeps an RGB image in 4 bytes a pixel, and decoders of other formats write into it line by line. For WebP it has
# the decoder of animations alone since it dropped the simple one: libwebp keeps two canvases of 4 bytes a pixel, also of a
# file without animation, and a copy of one is made before the image itself. Nothing in the documents tells so. A service
# that reserves memory for an image by its pixels, or gives a container what the largest JPEG needs, is ended by the system
# at the first large WebP: 400 MB for 25 megapixels.
#
# Seen (x86-64, wheels of Pillow, 16 megapixels, growth of the largest resident size): JPEG 4, PNG 4, WebP 16 bytes a pixel.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pillow==13.0.0'
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

from PIL import Image

image = Image.radial_gradient("L").resize((4000, 4000)).convert("RGB")
for ending in ("jpg", "png", "webp"):
    image.save(f"{sys.argv[1]}/image.{ending}")
PYTHON
cat >"$folder/decode.py" <<'PYTHON'
import resource
import sys

from PIL import Image

image = Image.open(sys.argv[1])
with Image.open(sys.argv[2]) as small:  # what a decoder brings with it is loaded
    small.load()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
image.load()
grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(f"{grown / (image.width * image.height):.1f}")
PYTHON
fault=0
for ending in jpg png webp; do
    "$folder/venv/bin/python" -c "
from PIL import Image
Image.new('RGB', (16, 16)).save('$folder/small.$ending')"
    found=$("$folder/venv/bin/python" "$folder/decode.py" "$folder/image.$ending" "$folder/small.$ending")
    echo "$ending: $found bytes a pixel"
    case "$ending:$found" in
        webp:1[5-7].*) ;;
        jpg:[3-5].* | png:[3-5].*) ;;
        *) fault=1 ;;
    esac
done
test "$fault" = 0 || { echo 'changed' >&2; exit 1; }
echo 'as described'
