"""What a user can mend is raised once as `UserError` and printed once by `cli`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

USER_ERROR = 2
INTERRUPTED = 130  # as shells have it: 128 + SIGINT
CLOSED = 141  # 128 + SIGPIPE: who read our output went away
LONGEST = 1000


class UserError(Exception):
    """One line that names the file, the key or row, what was found and what was expected."""


def styled(text: str, style: str, stream: TextIO) -> str:
    """The text in an ANSI style, where the stream is a terminal that shows such and NO_COLOR is not set."""
    shown = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[{style}m{text}\x1b[0m" if shown else text


def _say(text: str) -> int:
    print(styled("error: ", "1;31", sys.stderr) + one_line(text), file=sys.stderr)
    return USER_ERROR


def cli(main: Callable[..., int | None]) -> Callable[..., int]:
    """Wrap a command's `main`: a `UserError` becomes one line on stderr and exit status 2.

    Any other exception is a bug: it ends in Python's traceback and exit status 1.
    """

    @functools.wraps(main)
    def guarded(*args, **kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            return _say(str(error))
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("droulette"):
                raise
            return _say(
                f"{sys.executable} has no package {error.name!r}: `. .venv/bin/activate` after `make repro`, "
                "or install requirements.txt"
            )
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return CLOSED
        except MemoryError as error:
            return _say(f"out of memory: {error}".rstrip(": "))
        except OSError as error:
            # A full disk or a folder without permission is the user's to mend, whatever line met it.
            where = f"{error.filename}: " if error.filename else ""
            return _say(f"{where}{error.strerror or error}")
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED

    return guarded


def one_line(text: str) -> str:
    """One line of at most LONGEST characters, with control characters escaped."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def leave(status: int) -> NoReturn:
    """End the process without Python's own clean-up, which takes 0.3 s after a training: PyTorch is taken apart."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
