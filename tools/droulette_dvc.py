"""Let ``dvc exp run -S key=value`` change ``params.toml``, where DVC alone knows only ``params.yaml``.

`pip install` of the project puts this module and ``droulette_dvc.pth`` into the environment; Python runs the
latter's one line at start-up. All that costs is one entry in ``sys.meta_path``, which waits for DVC's own
parser of ``-S`` and then goes away. Standard library only, and nothing imported before DVC is: every Python
started in the environment passes through here.
"""

import sys

PARSER = "dvc.utils.cli_parse"


class ParserFinder:
    """Finds nothing itself; wraps ``to_path_overrides`` of the parser that the other finders find."""

    def find_spec(self, name, path=None, target=None):
        if name != PARSER:
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                if hasattr(module, "to_path_overrides"):
                    module.to_path_overrides = with_params_toml(module.to_path_overrides)

            spec.loader.exec_module = exec_module
        return spec


def with_params_toml(to_path_overrides):
    """DVC's ``to_path_overrides``, given a file name for each override that was typed without one."""

    def to_path_overrides_with_params_toml(path_params):
        params = params_toml()
        if params is not None:
            path_params = [p if ":" in p.partition("=")[0] else f"{params}:{p}" for p in path_params]
        return to_path_overrides(path_params)

    return to_path_overrides_with_params_toml


def params_toml():
    """The repository's ``params.toml``, seen from the working directory; None where DVC is right alone."""
    import os

    root = os.getcwd()
    while not os.path.isdir(os.path.join(root, ".dvc")):
        root, below = os.path.dirname(root), root
        if root == below:
            return None
    toml, yaml = (os.path.join(root, "params" + suffix) for suffix in (".toml", ".yaml"))
    return os.path.relpath(toml) if os.path.isfile(toml) and not os.path.lexists(yaml) else None


def install():
    sys.meta_path.insert(0, ParserFinder())
