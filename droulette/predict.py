"""Roulette amplitudes of one's own pictures: `python -m droulette.predict picture.png …`"""

from __future__ import annotations

import argparse
import sys

from droulette.errors import cli, leave


@cli
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m droulette.predict", description=__doc__)
    parser.add_argument("pictures", nargs="+", metavar="picture", help="PNG or JPEG, of any size")
    parser.add_argument("--model", default="models/model.safetensors", help="default: %(default)s")
    parser.add_argument("--output", help="CSV file to write; left out: standard output")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int, help="taken as by the other commands; draws nothing")
    arguments = parser.parse_args(argv)

    import numpy as np

    from droulette import files
    from droulette.devices import choose_device
    from droulette.learning import model_file
    from droulette.pipeline import prediction
    from droulette.pipeline.pictures import look

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    model = model_file.load(arguments.model, choose_device(arguments.device))
    pictures = [prediction.read_own_picture(path, model.input_size, say) for path in arguments.pictures]
    views = look(model.network.eye, np.stack(pictures), str(model.device))
    table = prediction.as_table(model, arguments.pictures, *model.predict(views))
    if arguments.output:
        files.write_csv(table, arguments.output)
    else:
        table.to_csv(sys.stdout, index=False)


if __name__ == "__main__":
    leave(main())
