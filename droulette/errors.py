"""What a user can mend is raised once as `UserError` and printed once by `cli`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import NoReturn

USER_ERROR = 2
INTERRUPTED = 130
LONGEST = 1000


class UserError(Exception):
    """One line that names the file, the key or row, what was found and what was expected."""


def cli(main: Callable[..., int | None]) -> Callable[..., int]:
    """Wrap a command's `main`: a `UserError` becomes one line on stderr and exit status 2."""

    @functools.wraps(main)
    def guarded(*args, **kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            print(f"error: {_line(str(error))}", file=sys.stderr)
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
        except MemoryError as error:
            print(f"error: this machine's memory is too small: {error or 'no more to be had'}", file=sys.stderr)
            return USER_ERROR
        except OSError as error:
            # A full disk or a folder without permission is the user's to mend, whatever line met it.
            where = f"{error.filename}: " if error.filename else ""
            print(f"error: {_line(f'{where}{error.strerror or error}')}", file=sys.stderr)
            return USER_ERROR
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED

    return guarded


def _line(text: str) -> str:
    """One line of at most LONGEST characters, without those that a terminal would obey."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def leave(status: int) -> NoReturn:
    """End the process at once: taking Numba and PyTorch apart would cost a third of a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
