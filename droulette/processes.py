"""The processes that torchrun (or SLURM through torchrun) started together; without it, one.

torch is not loaded where there is one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """rank: this process's number, from 0. count: of processes on all machines. local: of those on this machine."""

    rank: int = 0
    count: int = 1
    local: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def tell(self, value: T) -> T:
        """The first process's value, in every process."""
        if self.count == 1:
            return value
        from torch import distributed

        told = [value]
        distributed.broadcast_object_list(told, src=0)
        return told[0]

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            from torch import distributed

            distributed.barrier()

    def share(self, total: int, multiple: int = 1) -> range:
        """This process's part of `total` rows: one stretch, which begins at a multiple of `multiple`."""
        each = -(-total // (self.count * multiple)) * multiple
        return range(min(self.rank * each, total), min((self.rank + 1) * each, total))


ALONE = Team()


def launched() -> Team:
    """The team as torchrun describes it in the environment."""
    count, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return Team(int(os.environ["RANK"]), count, local) if count > 1 and "RANK" in os.environ else ALONE


@contextmanager
def together() -> Iterator[Team]:
    """The team, whose processes can tell each other something while the block lasts."""
    team = launched()
    if team.count == 1:
        yield team
        return
    from torch import distributed

    distributed.init_process_group("gloo", timeout=timedelta(days=1))  # the first may draw long after the others
    try:
        yield team
    finally:
        distributed.destroy_process_group()
