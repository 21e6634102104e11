#!/usr/bin/env bash
# torch.jit.script computes the wrong answer for the second of two nn.Sequential whose steps have the same names and types in another
# order: it reuses the compiled type of the first one, and runs the steps in the first one's order. No error, no warning.
# One would expect the scripted module to do what the module does: eager 7 and 8, scripted 7 and 7. Alone, or scripted before the
# other, each is right, so that a test of one network at a time never sees it. Whoever scripts several variants in one process
# (a search over architectures, an export of several models) does.
# Behaviour of PyTorch 2.13; types are shared by torch/jit/_recursive.py (ConcreteTypeStore), which compares attributes by name.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$folder/order.py" <<'PYTHON'
import sys
import warnings
from collections import OrderedDict

import torch

warnings.simplefilter("ignore")


class Double(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class AddOne(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


networks = {
    "twice, plus": torch.nn.Sequential(OrderedDict(twice=Double(), plus=AddOne())),
    "plus, twice": torch.nn.Sequential(OrderedDict(plus=AddOne(), twice=Double())),
}
x = torch.tensor(3.0)
names = list(networks) if sys.argv[1] == "forward" else list(networks)[::-1]
for name in names:
    network = networks[name]
    print(f"{name}: eager {network(x).item():g}, scripted {torch.jit.script(network)(x).item():g}")
PYTHON
found=$("$folder/env/bin/python" -W ignore "$folder/order.py" forward)
turned=$("$folder/env/bin/python" -W ignore "$folder/order.py" backward)
printf 'torch 2.13.0, scripted in this order:\n%s\nand in the other one:\n%s\n' "$found" "$turned"
test "$found" = 'twice, plus: eager 7, scripted 7
plus, twice: eager 8, scripted 7'
test "$turned" = 'plus, twice: eager 8, scripted 8
twice, plus: eager 7, scripted 8'
echo 'as described: the second network runs its steps in the order of the first'
