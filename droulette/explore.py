"""A page with sliders for lens, source, instrument and order: `python -m droulette.explore`"""

from __future__ import annotations

import argparse
import logging
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from droulette import commands
from droulette.commands import speaking
from droulette.errors import UserError, cli, leave

if TYPE_CHECKING:
    from droulette.exploring.settings import Settings

EXAMPLES = """
python -m droulette.explore
python -m droulette.explore scene.toml --no-browser --port 5006
"""
NOTES = (
    "The page is served to this machine alone, under an address with a secret token, and needs no internet.\n"
    "It opens in the browser; Ctrl-C ends it.\n"
    "A picture that is dropped on the page is predicted by the model, and stays on this machine."
)


def parser() -> argparse.ArgumentParser:
    options = commands.parser(
        "explore", "A page that draws a lens, its picture and its roulette simulation while sliders are moved.",
        EXAMPLES, NOTES,
    )  # fmt: skip
    add = options.add_argument
    add("scene", nargs="?", metavar="TOML", help="scene to begin with; of a distribution, its first row")
    add(
        "--model",
        default="models/model.safetensors",
        metavar="FILE",
        help="for dropped pictures (default: %(default)s)",
    )
    add("--port", type=int, default=0, metavar="N", help="of the page's address (default: one that is free)")
    add("--no-browser", dest="browser", action="store_false", help="print the address, and open no browser")
    return options


@cli
def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    if not 0 <= args.port <= 65535:
        raise UserError(f"--port: found {args.port}, expected a number in [0, 65535]")
    from droulette import registry
    from droulette.exploring.server import serve

    for name in ("bokeh", "tornado"):
        logging.getLogger(name).setLevel(logging.DEBUG if args.verbose else logging.ERROR)
    registry.read_installed()

    def ready(address: str, once: str) -> None:
        print(f"{address} (Ctrl-C ends it)", flush=True)
        if args.browser:  # in a thread: a browser of the terminal returns when it is closed
            threading.Thread(target=webbrowser.open, args=[once], daemon=True).start()

    with speaking(args, prints_result=True):
        try:
            serve(args.port, _first(args.scene), Path(args.model), ready)
        except KeyboardInterrupt:
            print()


def _first(path: str | None) -> Settings:
    """What the page shows at first: a preset, or the scene of a file."""
    from droulette.api.scene import Scene
    from droulette.exploring import settings

    if path is None:
        return settings.SCENES["Arc"]
    try:
        return settings.of_scene(Scene.from_toml(path))
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


if __name__ == "__main__":
    leave(main())
