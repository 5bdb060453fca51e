"""Seven things that the project's environment adds to DVC.

* ``dvc exp run -S key=value`` changes ``params.toml``, where DVC alone knows only ``params.yaml``.
* A misspelt key of ``-S`` is answered with the nearest key of ``params.toml``, where DVC advises to add it.
* A folder's listing that comes from a remote names files below that folder, and no others: DVC alone writes wherever a
  ``../`` in it leads, so that who may write to a remote could write to the machine of each who pulls.
* An object of the cache, and the listing of a folder in a remote, is what its name says, or is said to be missing: DVC
  alone takes what a failing disk left of it, or another person put there, for the data.
* A connection that the other side ended is an error that is said: DVC alone takes it for ``dvc … | head``, whose reader
  has gone, and ends without a word.
* `dvc pull` of everything, where the default remote is a folder that is not there, pulls what other remotes have and
  says in one line what is missing; DVC alone prints two lists of it.
* `dvc checkout` takes what git itself brought, in a remote that is a folder of the repository; DVC alone says that
  it is missing, until somebody types `dvc pull`.

`pip install` of the project puts this module and ``droulette_dvc.pth`` into the environment; Python runs the
latter's one line at start-up. All that costs is one entry in ``sys.meta_path``, which waits for eight modules of DVC's
and then goes away. Standard library only, and nothing imported before DVC is: every Python started in the environment
passes through here.
"""

import sys


class Finder:
    """Finds nothing itself; changes the modules that the other finders find."""

    def __init__(self):
        self.changes = {
            "dvc.utils.cli_parse": change_parser,
            "dvc.utils.hydra": change_overrides,
            "dvc_data.hashfile.checkout": change_links,
            "dvc_data.hashfile.tree": change_tree,
            "dvc_data.index.checkout": change_checkout,
            "dvc.cli": change_main,
            "dvc.commands.checkout": change_checkout_command,
            "dvc.commands.data_sync": change_pull,
        }

    def find_spec(self, name, path=None, target=None):
        if name not in self.changes:
            return None
        from importlib.util import find_spec

        change = self.changes.pop(name)
        if not self.changes:
            sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                change(module)

            spec.loader.exec_module = exec_module
        return spec


def part_of(module, *names):
    """What DVC calls so. Where this DVC has no such name the command ends: nothing is left unprotected.

    Raises:
        ImportError: one line, which DVC prints as its error.
    """
    found = module
    for name in names:
        if not hasattr(found, name):
            missing = ".".join((module.__name__, *names))
            raise ImportError(f"droulette protects DVC through {missing}, which this DVC lacks: install dvc==3.67.1")
        found = getattr(found, name)
    return found


def change_tree(module):
    from_list = part_of(module, "Tree", "from_list").__func__
    load = part_of(module, "Tree", "load").__func__
    error = part_of(module, "ObjectFormatError")

    def from_list_below(cls, entries, *args, **options):
        for entry in entries:
            name = entry.get("relpath")
            if not isinstance(name, str) or not below(name):
                raise error(f"a folder's listing names {name!r}, expected a file below it")
        return from_list(cls, entries, *args, **options)

    def load_sound(cls, odb, hash_info, *args, **options):
        found = odb.get(hash_info.value)
        of_remote = type(getattr(odb, "state", None)).__name__ == "StateNoop"  # DVC remembers its cache's files
        if is_spoilt(found.path, remove=not of_remote) or (of_remote and is_spoilt_there(found.fs, found.path)):
            raise FileNotFoundError(found.path)
        return load(cls, odb, hash_info, *args, **options)

    module.Tree.from_list = classmethod(from_list_below)
    module.Tree.load = classmethod(load_sound)


def below(name):
    """Whether a path of a listing, with forward slashes, leads below its folder on any system."""
    windows = "\\" in name or ":" in name.partition("/")[0]
    return "\0" not in name and not windows and not set(name.split("/")) & {"", ".", ".."}


def change_links(module):
    link = part_of(module, "Link", "__call__")
    error = part_of(module, "CheckoutError")

    def link_sound(self, cache, from_path, to_fs, to_path):
        if is_spoilt(from_path):
            raise error([to_path])
        return link(self, cache, from_path, to_fs, to_path)

    module.Link.__call__ = link_sound


def change_checkout(module):
    create = part_of(module, "_create_files")

    def create_sound(entries, index, path, fs, *args, storage="cache", onerror=None, **options):
        sound = []
        for entry in entries:
            try:
                source = getattr(index.storage_map[entry.key], storage).get(entry)[1]
            except (AttributeError, KeyError, ValueError):  # DVC has its own words for these
                source = None
            if source and is_spoilt(source, remove=storage == "cache"):
                onerror(source, fs.join(path, *entry.key), FileNotFoundError(source))
            else:
                sound.append(entry)
        return create(sound, index, path, fs, *args, storage=storage, onerror=onerror, **options)

    module._create_files = create_sound


def is_spoilt(path, remove=True):
    """Whether a file is an object of a cache, .../files/md5/ab/cdef…, and has another hash; then it is removed."""
    import os

    parts = os.path.normpath(path).split(os.sep)
    if parts[-4:-2] != ["files", "md5"] or not os.path.isfile(path):
        return False
    with open(path, "rb") as stream:
        if md5(stream) == parts[-2] + parts[-1].removesuffix(".dir"):
            return False
    if remove:
        os.chmod(path, 0o644)
        os.remove(path)
    warn(path, ", and removed from DVC's cache" if remove else "")
    return True


SOUND = set()  # remotes' listings, by file system and path: DVC reads one several times


def is_spoilt_there(fs, path):
    """The same for a listing on another machine, which is left there."""
    parts = path.split("/")
    if (fs, path) in SOUND or fs.protocol == "local" or parts[-4:-2] != ["files", "md5"]:
        return False
    with fs.open(path, "rb") as stream:
        if md5(stream) == parts[-2] + parts[-1].removesuffix(".dir"):
            SOUND.add((fs, path))
            return False
    warn(path, "")
    return True


def md5(stream):
    import hashlib

    digest = hashlib.md5(usedforsecurity=False)
    for part in iter(lambda: stream.read(2**20), b""):  # hashlib's own loop takes no file of an SSH server
        digest.update(part)
    return digest.hexdigest()


def warn(path, done):
    import logging

    logging.getLogger("dvc").warning("%s: not what its name says%s", path, done)


def change_main(module):
    module.main = with_broken_connections(part_of(module, "main"))


def with_broken_connections(main):
    """DVC's ``main``, that tells a connection that was cut from an output that nobody reads any more."""

    def main_with_broken_connections(argv=None):
        import os
        import select

        try:
            output = os.dup(1)  # DVC turns away its own before it returns
        except OSError:
            return main(argv)
        try:
            status = main(argv)
            if status == 141 and hasattr(select, "poll"):
                reader = select.poll()
                reader.register(output, 0)
                if not reader.poll(0):
                    print("ERROR: a connection was cut by its other side; type the command again", file=sys.stderr)
                    return 255
            return status
        finally:
            os.close(output)

    return main_with_broken_connections


def change_pull(module):
    run = part_of(module, "CmdDataPull", "run")

    def run_with_what_there_is(self):
        options = ("targets", "remote", "all_branches", "all_tags", "all_commits", "with_deps", "allow_missing")
        if any(getattr(self.args, option) for option in options):
            return run(self)
        folder = missing_folder(self.repo.config)
        outs = [out for out in self.repo.index.outs if out.use_cache] if folder else []
        lost = [str(out) for out in outs if not out.remote and out.changed_cache()]
        if not lost:
            return run(self)
        self.args.targets = there = [str(out) for out in outs if str(out) not in lost]
        if there and run(self):
            return 1
        here = ", ".join(there) or "nothing"
        why = f"nobody has pushed them: there is no folder {folder}; `dvc repro` computes them"
        print(f"ERROR: here: {here}; missing: {', '.join(lost)}: {why}", file=sys.stderr)
        return 1

    module.CmdDataPull.run = run_with_what_there_is


def missing_folder(config):
    """The default remote's folder, where it is one and is not there: nobody has pushed anything."""
    import os

    url = config["remote"].get(config["core"].get("remote"), {}).get("url", "://")
    return None if "://" in url or os.path.isdir(url) else url


def change_checkout_command(module):
    run = part_of(module, "CmdCheckout", "run")

    def run_with_the_repository_s_own(self):
        from contextlib import suppress

        from dvc.exceptions import DvcException

        inside = remotes_inside(self.repo.config, self.repo.root_dir)
        asked = set(self.args.targets)
        outs = [out for out in self.repo.index.outs if out.remote in inside]
        outs = [out for out in outs if not asked or asked & {str(out), out.stage.relpath}]
        lacking = [str(out) for out in outs if out.changed_cache()]
        if lacking:
            with suppress(DvcException):  # checkout says what is missing
                self.repo.fetch(targets=lacking)
        return run(self)

    module.CmdCheckout.run = run_with_the_repository_s_own


def remotes_inside(config, root):
    """Names of the remotes that are folders of the repository."""
    import os

    inside = os.path.join(os.path.realpath(root), "")
    urls = {name: remote.get("url", "://") for name, remote in config["remote"].items()}
    return {name for name, url in urls.items() if "://" not in url and os.path.realpath(url).startswith(inside)}


def change_parser(module):
    module.to_path_overrides = with_params_toml(part_of(module, "to_path_overrides"))


def with_params_toml(to_path_overrides):
    """DVC's ``to_path_overrides``, given a file name for each override that was typed without one."""

    def to_path_overrides_with_params_toml(path_params):
        params = params_toml()
        if params is not None:
            path_params = [p if ":" in p.partition("=")[0] else f"{params}:{p}" for p in path_params]
        return to_path_overrides(path_params)

    return to_path_overrides_with_params_toml


def change_overrides(module):
    module.apply_overrides = with_nearest_key(
        part_of(module, "apply_overrides"), part_of(module, "InvalidArgumentError")
    )


def with_nearest_key(apply_overrides, error):
    """DVC's ``apply_overrides``, that names the nearest key of a TOML file in place of a misspelt one."""

    def apply_overrides_with_nearest_key(path, overrides):
        if str(path).endswith(".toml"):
            for override in overrides:
                name = override.partition("=")[0].strip()
                nearest = nearest_key(path, name) if not name.startswith(("+", "~")) else None
                if nearest:
                    raise error(f"{path}: found no key {name!r}, expected {nearest!r}")
        return apply_overrides(path, overrides)

    return apply_overrides_with_nearest_key


def nearest_key(path, name):
    """The dotted key of a TOML file that is most like a name; None where it has that name or nothing like it.

    A name that droulette knows though the file lacks it is left to DVC, whose ``+`` is right then.
    """
    import difflib
    import tomllib

    def keys(table, above):
        for key, value in table.items():
            yield above + key
            if isinstance(value, dict):
                yield from keys(value, above + key + ".")

    try:
        with open(path, "rb") as stream:
            known = list(keys(tomllib.load(stream), ""))
    except (OSError, ValueError):  # DVC has its own words for these
        return None
    if name in known:
        return None
    try:
        from droulette.parameters import is_key

        if is_key(name):
            return None
    except ImportError:
        pass
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), None)


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
    sys.meta_path.insert(0, Finder())
