"""Machine code: compiled by Numba once a machine, kept in a file, and loaded by LLVM alone.

All of it takes addresses and whole numbers only. Numba's own cache would do the same, but to import Numba for it takes
0.4 s of each process that draws, a third of what 2,000 pictures cost; to load the files takes 0.01 s.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import platform
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
from platformdirs import user_cache_path

from droulette import files

LOG = logging.getLogger("droulette")
# Of arrays that Numba did not make it manages no memory, but its code could call this.
NO_MEMORY = "define void @NRT_MemInfo_call_dtor(ptr %0) { ret void }"
DIGEST = hashlib.sha256().digest_size

_addresses: dict[tuple[str, str], int] = {}  # by name and source
_engines: list[llvm.ExecutionEngine] = []  # which own the code
_lock = threading.Lock()


def address(source: str) -> int:
    """Where the machine code of the function `formula` of some source code is; see `formulas`."""
    return _address("formula", source, lambda loops: loops.compile_formula(source))


@cache
def function(name: str) -> Callable[..., None]:
    """One of the functions of `loops`, called with addresses and whole numbers."""
    source = Path(__file__).with_name("loops.py").read_text()
    start = _address(name, source, lambda loops: loops.compile_loop(name))
    # Numba's functions take a place for their result and one for an exception first. These have neither.
    native = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    prototype = ctypes.cast(start, native)
    prototype.argtypes = None
    nothing = ctypes.c_void_p()

    def call(*words: int) -> None:
        at = ctypes.addressof(nothing)
        if status := prototype(at, at, *map(ctypes.c_int64, words)):
            raise RuntimeError(f"{name}: ended with {status}")

    return call


def is_stored(name: str) -> bool:
    """Whether one of the functions of `loops` was compiled on this machine before."""
    source = Path(__file__).with_name("loops.py").read_text()
    return _read(_path(name, _key(name, source))) is not None


def _key(name: str, source: str) -> str:
    return hashlib.sha256(f"{name} {_processor()} {source}".encode()).hexdigest()[:24]


def _path(name: str, key: str) -> Path:
    return user_cache_path("droulette") / "compiled" / f"{name}-{key}.o"


def _address(name: str, source: str, compiled: Callable) -> int:
    with _lock:
        if (name, source) not in _addresses:
            path = _path(name, _key(name, source))
            code = _read(path)
            if code is None:
                from droulette.physics.engines import loops

                LOG.info("compiling a formula, once on this machine" if name == "formula" else f"compiling {name}")
                code = _object_code(name, compiled(loops))
                with suppress(OSError), files.atomic_write(path) as partial:  # else the next process compiles again
                    partial.write_bytes(hashlib.sha256(code).digest() + code)
            _addresses[name, source] = _load(name, code)
        return _addresses[name, source]


@cache
def _processor() -> str:
    """What else machine code depends on."""
    return f"{llvmlite.__version__} {platform.machine()} {llvm.get_host_cpu_name()} {features()}"


def features() -> str:
    """The processor's, for LLVM; vectors as long as they go, where it would stop at 256 bits: a fifth of the time."""
    found = llvm.get_host_cpu_features()
    return found.flatten() + (",-prefer-256-bit" if found.get("avx512f") else "")


def _read(path: Path) -> bytes | None:
    """The file's machine code; None if there is none, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    whole = hashlib.sha256(content[DIGEST:]).digest() == content[:DIGEST]
    return content[DIGEST:] if whole else None


@cache
def _target() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=features(),
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",  # as Numba has it
        codemodel="jitdefault",
        jit=True,
    )


def _object_code(name: str, text: str) -> bytes:
    target = _target()
    module = llvm.parse_assembly(NO_MEMORY)
    module.link_in(llvm.parse_assembly(text))
    foreign = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    assert foreign <= {"memcpy", "memmove", "memset"}, f"{name}: not to be loaded without Numba: {foreign}"
    return target.emit_object(module)


def _load(name: str, code: bytes) -> int:
    target = _target()
    arm = platform.machine() in ("arm64", "aarch64")  # where LLVM's own memory manager may place parts too far apart
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target, use_lmm=arm)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return engine.get_function_address(name)
