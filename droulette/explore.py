"""A page with sliders for lens, source, instrument and order: `python -m droulette.explore`"""

from __future__ import annotations

import logging
from pathlib import Path

from droulette import commands
from droulette.commands import speaking
from droulette.errors import UserError, cli, leave

EXAMPLES = """
python -m droulette.explore
python -m droulette.explore scene.toml --no-browser --port 5006
"""
NOTES = "The page is served to this machine alone, without the net. Ctrl-C ends it."


@cli
def main(argv: list[str] | None = None) -> None:
    options = commands.parser(
        "explore", "A page that draws a lens, its picture and its roulette simulation while sliders are moved.",
        EXAMPLES, NOTES,
    )  # fmt: skip
    add = options.add_argument
    add("scene", nargs="?", metavar="TOML", help="file of a scene to begin with; of a distribution, its first row")
    add(
        "--model",
        default="models/model.safetensors",
        metavar="FILE",
        help="for dropped pictures (default: %(default)s)",
    )
    add("--port", type=int, default=0, help="of 127.0.0.1 (default: one that is free)")
    add("--no-browser", dest="browser", action="store_false", help="print the address, and open no browser")
    args = options.parse_args(argv)
    if not 0 <= args.port <= 65535:
        raise UserError(f"--port: found {args.port}, expected a number in [0, 65535]")

    from droulette import registry
    from droulette.api.scene import Scene
    from droulette.exploring import settings
    from droulette.exploring.server import serve

    first = settings.SCENES["Arc"]
    if args.scene is not None:
        try:
            first = settings.of_scene(Scene.from_toml(args.scene))
        except UserError as error:
            raise UserError(f"{args.scene}: {str(error).removeprefix(f'{args.scene}: ')}") from error
    registry.read_installed()
    for name in ("bokeh", "tornado"):
        logging.getLogger(name).setLevel(logging.DEBUG if args.verbose else logging.ERROR)

    def ready(address: str) -> None:
        print(f"{address} (Ctrl-C ends it)", flush=True)
        if args.browser:
            import webbrowser

            webbrowser.open(address)

    with speaking(args, prints_result=True):
        try:
            serve(args.port, first, Path(args.model), ready)
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    leave(main())
