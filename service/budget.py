"""The memory that requests may take together."""

from dataclasses import dataclass

from service.cgroup import read_memory_limit
from service.ledger import Account
from service.settings import Settings


@dataclass(frozen=True)
class Budget:
    """What the process may use, what of it no request takes, and the accounts of the rest."""

    limit: int | None
    base: int
    bodies: Account
    decoding: Account


def plan_memory(settings: Settings) -> Budget:
    """The budget by these settings."""
    return Budget(read_memory_limit(), 100 * 2**20, Account(256 * 2**20), Account(256 * 2**20))
