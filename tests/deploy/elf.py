"""What an ELF file, a Linux library or program, asks of the system it is loaded on."""

import re
from io import BytesIO

from elftools.elf.elffile import ELFFile


class Binary:
    """One ELF file: its machine, the libraries and symbol versions it needs, its segments."""

    def __init__(self, content: bytes) -> None:
        file = ELFFile(BytesIO(content))
        self.machine: str = file["e_machine"]
        segments = [segment for segment in file.iter_segments() if segment["p_type"] == "PT_LOAD"]
        self.alignment: int = min(segment["p_align"] for segment in segments)
        #: By how much places in memory and in the file may be apart: what a page size must divide.
        self.skew = {segment["p_vaddr"] - segment["p_offset"] for segment in segments}
        dynamic = file.get_section_by_name(".dynamic")
        self.needed = {tag.needed for tag in dynamic.iter_tags("DT_NEEDED")} if dynamic else set()
        self.versions: set[str] = set()
        if versions := file.get_section_by_name(".gnu.version_r"):
            for _, symbols in versions.iter_versions():
                self.versions |= {symbol.name for symbol in symbols}

    def loads_with_pages_of(self, size: int) -> bool:
        """Whether a kernel with such pages can map it."""
        return self.alignment >= size and not any(skew % size for skew in self.skew)

    def newest(self, family: str) -> tuple[int, ...]:
        """The newest version it needs of GLIBC, GLIBCXX or CXXABI; (0,) if of none."""
        matches = (re.fullmatch(rf"{family}_([0-9.]+)", version) for version in self.versions)
        return max((tuple(map(int, m[1].split("."))) for m in matches if m), default=(0,))
