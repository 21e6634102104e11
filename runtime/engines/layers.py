"""Scriptable modules for inference: a network as a sequence of prepared layer groups ("parts").

Why TorchScript although upstream points to torch.export: a scripted graph is one file that C++ and
Python load without our sources, and its buffers can be filled after loading, so that the weights
exist once in a bundle. The same modules work with torch.export (tests), which is the way out on the
day TorchScript is removed.

No postponed annotations in this file: TorchScript reads the real types.
"""

import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import ascii_letters
from tempfile import TemporaryDirectory

from runtime.engines.ops import load_operators  # first: it says what is missing if torch is

# isort: split
import torch
from torch import Tensor, nn

from runtime.engines.graph_file import copy_graph
from runtime.errors import REEXPORT, InvalidRecord
from runtime.kernels.parts import Part
from runtime.plan import Plan

load_operators()  # a graph can be scripted, or loaded, only when its operators are known

IN_GRAPHS = "runtime.layers"  # what the module is called in graphs, wherever it lies

GRAPH_OPERATORS = frozenset(
    {
        "prim::GetAttr",
        "prim::Constant",
        "prim::ListConstruct",
        "aten::append",  # of parts to the list of them
        "bnn::run_part",  # graphs of bundles exported before there was run_network
        "bnn::run_network",
    }
)


class PackedPart(nn.Module):
    """Holds one prepared layer group; the buffer `part` is empty until fill_parts."""

    __module__ = IN_GRAPHS
    part: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("part", torch.empty(0, dtype=torch.uint8))

    def forward(self) -> Tensor:
        return self.part


class PackedNetwork(nn.Sequential):
    """The steps of a plan, by name: images float32 [N, 3, H, W] -> logits float32 [N, classes]."""

    __module__ = IN_GRAPHS
    output: list[int]

    def __init__(self, plan: Plan) -> None:
        names = _name_children([step.name for step in plan])
        super().__init__(OrderedDict((name, PackedPart()) for name in names))
        self.output = list(plan.output)

    def forward(self, x: Tensor) -> Tensor:
        parts = [step() for step in self]
        return torch.ops.bnn.run_network(x, parts, self.output)  # type: ignore[no-any-return]


def _name_children(names: Sequence[str]) -> list[str]:
    """What the steps of a plan are called in its graph: by their names where those are the usual
    ones in the usual order, else by their numbers.

    Others may mean something to TorchScript, as its keywords and a module's attributes do. And it
    takes two modules for the same one if their children have the same names in another order.
    """
    usual = all(re.fullmatch("stem|(stage|transition)[0-9]{1,9}|head", name) for name in names)
    if usual and list(names) == sorted(names, key=_place):
        return list(names)
    return [str(number) for number in range(len(names))]


def _place(name: str) -> tuple[bool, int, str]:
    """The sort key of usual names: stem, stage1, transition1, stage2, ..., head."""
    return name == "head", int(name.lstrip(ascii_letters) or 0), name


@contextmanager
def _torchscript() -> Iterator[None]:
    """Hides TorchScript's deprecation warnings; see the module's text."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`?torch\.jit\.", DeprecationWarning)
        yield


def script_network(plan: Plan) -> torch.jit.ScriptModule:
    """The scripted graph of a plan, without weights."""
    with _torchscript():
        scripted: torch.jit.ScriptModule = torch.jit.script(PackedNetwork(plan).eval())
    return scripted


def save_network(network: torch.jit.ScriptModule, path: Path) -> None:
    """Writes a scripted graph; save it before its layer groups are filled.

    The same graph is the same file on every machine: see copy_graph.
    """
    with TemporaryDirectory() as folder:
        saved = Path(folder) / path.name
        with _torchscript():
            torch.jit.save(network, str(saved))
        copy_graph(saved, path)


def load_network(path: Path) -> torch.jit.ScriptModule:
    """Reads a scripted graph.

    Raises InvalidRecord if it does more than run layer groups, and what torch raises: RuntimeError,
    ValueError.
    """
    with _torchscript():
        network: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu")
    foreign = {node.kind() for node in network.inlined_graph.nodes()} - GRAPH_OPERATORS
    if foreign:
        raise InvalidRecord(
            f"{path}: expected a graph that only runs layer groups, found "
            f"{', '.join(sorted(foreign))}. {REEXPORT}"
        )
    return network


def fill_parts(network: nn.Module, names: Sequence[str], prepared: Sequence[Part]) -> None:
    """Gives the layer groups of a network (scripted or not) their prepared bytes, uncopied.

    `names` are those of the plan, in its order. Raises InvalidRecord if the graph has others.
    """
    children = dict(network.named_children())
    if list(children) not in (list(names), _name_children(names)):
        raise InvalidRecord(
            f"the graph has the layer groups {', '.join(children)}; expected those of the plan: "
            f"{', '.join(names)}. {REEXPORT}"
        )
    for child, part in zip(children.values(), prepared, strict=True):
        view = part.view()
        view.flags.writeable = True  # for torch, which knows no read-only tensors; nobody writes
        child.part = torch.from_numpy(view)
