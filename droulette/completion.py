"""Tab completion: `droulette completion bash`"""

from __future__ import annotations

import argparse
from importlib import import_module

from droulette import commands
from droulette.errors import cli, leave

SHELLS = ("bash", "zsh", "fish", "tcsh")
EXAMPLES = """
eval "$(droulette completion bash)"                               # this shell; in ~/.bashrc, each
droulette completion zsh > ~/.zfunc/_droulette                    # with ~/.zfunc in fpath, before compinit
droulette completion fish > ~/.config/fish/completions/droulette.fish
"""


def parser() -> argparse.ArgumentParser:
    options = commands.parser("completion", "Print what makes a shell complete droulette's commands.", EXAMPLES)
    options.add_argument("shell", choices=SHELLS)
    return options


@cli
def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    import shtab

    print(shtab.complete(every_command(), args.shell))


def every_command() -> argparse.ArgumentParser:
    """One parser of all commands, whose options of files and folders shtab completes by these."""
    import shtab

    from droulette.__main__ import COMMANDS

    whole = argparse.ArgumentParser(prog="droulette", description="Roulette amplitudes of gravitational lenses.")
    whole.add_argument("--version", action="version", version="")
    names = whole.add_subparsers()
    for name, (module, meaning) in COMMANDS.items():
        own = import_module(module).parser()
        names.add_parser(name, parents=[own], add_help=False, help=meaning)
        for action in own._actions:
            if action.metavar in ("FILE", "FOLDER", "TOML"):
                action.complete = shtab.DIRECTORY if action.metavar == "FOLDER" else shtab.FILE
    return whole


if __name__ == "__main__":
    leave(main())
