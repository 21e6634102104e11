"""The memory that requests may take together."""

from dataclasses import dataclass

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
    return Budget(None, 100 * 2**20, Account(256 * 2**20), Account(256 * 2**20))
