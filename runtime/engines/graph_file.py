"""Copies the file of a scripted graph without traces of the machine that wrote it."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

# torch.jit.save adds the source lines of each operator, with the path of the file that they are
# from, and a number made of all contents. Loading needs neither.
_OF_THE_MACHINE = (".debug_pkl", "/.data/serialization_id")


def copy_graph(source: Path, target: Path) -> None:
    """Writes the graph of one file to another one; equal graphs become equal bytes.

    Raises zipfile.BadZipFile if there is no graph in it.
    """
    with ZipFile(source) as given, ZipFile(target, "w", ZIP_DEFLATED) as written:
        for item in given.infolist():
            if not item.filename.endswith(_OF_THE_MACHINE):
                written.writestr(ZipInfo(item.filename), given.read(item), ZIP_DEFLATED)
