"""Stage report: a page that shows what the stages before it found."""

import sys

from droulette.commands import stage
from droulette.errors import cli


@cli
def main(argv: list[str] | None = None) -> None:
    with stage(__doc__, argv) as (params, source):
        from droulette.report import report_by

        report_by(params, source, "models/model.safetensors", "metrics", "metrics/report.html")


if __name__ == "__main__":
    sys.exit(main())
