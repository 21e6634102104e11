#!/usr/bin/env bash
# torch.jit.save writes the absolute path of the source files into the archive: the same model exported from two folders is two
# different files, and each tells whoever gets it where it was made (a user's name in /home/NAME, a build machine's layout).
# One would expect the file of a scripted module to hold the module: its code, constants and tensors. They are the same in both; what
# differs is a member .debug_pkl beside the code, which lists source ranges by file name, and .data/serialization_id, a number
# made of all members. Without both the file still loads and answers the same.
# Source: torch/csrc/jit/serialization/source_range_serialization.cpp (SourceRangePickler) of PyTorch 2.13.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
mkdir -p "$folder/first" "$folder/second"
cat > "$folder/first/doubling.py" <<'PYTHON'
import sys

import torch


class Doubling(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x


torch.jit.save(torch.jit.script(Doubling()), sys.argv[1])
PYTHON
cp "$folder/first/doubling.py" "$folder/second/"
for place in first second; do
  (cd "$folder/$place" && "$folder/env/bin/python" "$folder/$place/doubling.py" "$folder/$place/model.pt" 2> /dev/null)
done
"$folder/env/bin/python" - "$folder" <<'PYTHON'
import sys
import warnings
from pathlib import Path
from zipfile import ZipFile

import torch

warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
contents = {}
for place in ("first", "second"):
    with ZipFile(folder / place / "model.pt") as archive:
        contents[place] = {name: archive.read(name) for name in archive.namelist()}
first, second = contents["first"], contents["second"]
assert first.keys() == second.keys()
differing = sorted(name.partition("/")[2] for name in first if first[name] != second[name])
named = sorted(
    name.partition("/")[2] for name in first if str(folder / "first").encode() in first[name]
)
print(f"torch {torch.__version__}: members that differ: {', '.join(differing)}")
print(f"members that name the folder: {', '.join(named)}")
with ZipFile(folder / "bare.pt", "w") as archive:
    for name, content in first.items():
        if not name.endswith((".debug_pkl", "/.data/serialization_id")):
            archive.writestr(name, content)
answer = torch.jit.load(str(folder / "bare.pt"))(torch.ones(2)).tolist()
print(f"without both members it loads and answers {answer}")
assert any(name.endswith(".debug_pkl") for name in named), "no member names the folder any more"
assert set(named) <= set(differing)
assert answer == [2.0, 2.0]
print("as described: the file of a TorchScript module tells in which folder it was exported")
PYTHON
