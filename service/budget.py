"""The memory that bodies may take together."""

from service.settings import Settings


def plan_memory(settings: Settings) -> int:
    return 256 * 2**20
