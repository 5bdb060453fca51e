"""What a user can mend is raised once as `UserError` and printed once by `cli`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import NoReturn

USER_ERROR = 2
INTERRUPTED = 130


class UserError(Exception):
    """One line that names the file, the key or row, what was found and what was expected."""


def cli(main: Callable[..., int | None]) -> Callable[..., int]:
    """Wrap a command's `main`: a `UserError` becomes one line on stderr and exit status 2."""

    @functools.wraps(main)
    def guarded(*args, **kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            print("error: " + " ".join(str(error).split()), file=sys.stderr)
            return USER_ERROR
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("droulette"):
                raise
            print(
                f"error: {sys.executable} has no package {error.name!r}: `. .venv/bin/activate` after `make repro`, "
                "or install requirements.txt",
                file=sys.stderr,
            )
            return USER_ERROR
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except OSError as error:
            # A full disk or a folder without permission is the user's to mend, whatever line met it.
            where = f"{error.filename}: " if error.filename else ""
            print(f"error: {where}{error.strerror or error}", file=sys.stderr)
            return USER_ERROR
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED

    return guarded


def leave(status: int) -> NoReturn:
    """End the process at once: taking Numba and PyTorch apart would cost a third of a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
