"""Machine code of the loops that `compiled` compiles, kept in a file: to load it takes LLVM, but not Numba.

Numba costs half a second in every process that draws, half of what a thousand pictures cost. It hands out the
optimised code of its functions (`inspect_llvm`) and calls them thus: a place for the result, one for an exception, then
the arguments, tuples taken apart, of an array (memory manager's two words, items, bytes of one, address, shape,
strides).
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numpy as np
from platformdirs import user_cache_path

from droulette import files
from droulette.physics import tables

# Of arrays that Numba did not make it manages no memory, but its code could call this.
NO_MEMORY = "define void @NRT_MemInfo_call_dtor(ptr %0) { ret void }"
DIGEST = hashlib.sha256().digest_size
functions: dict[str, Callable[[tuple], None]] = {}
_lock = threading.Lock()


def ready() -> bool:
    """Whether there is machine code, of this process or of one before; it is loaded then."""
    with _lock:
        if not functions and _path().is_file():
            content = _path().read_bytes()
            if hashlib.sha256(content[DIGEST:]).digest() == content[:DIGEST]:
                _load(content[DIGEST:])
    return bool(functions)


def keep(code: dict[str, str]) -> None:
    """Load functions, given their names and LLVM's language, and keep them for other processes if that is possible."""
    _start()
    module = llvm.parse_assembly(NO_MEMORY)
    for text in code.values():
        module.link_in(llvm.parse_assembly(text))
    foreign = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    assert foreign <= {"memcpy", "memmove", "memset"}, f"not to be loaded without Numba: {foreign}"
    machine_code = _target().emit_object(module)
    _load(machine_code)
    with suppress(OSError), files.atomic_write(_path()) as partial:  # else the next process compiles again
        partial.write_bytes(hashlib.sha256(machine_code).digest() + machine_code)


@cache
def _path() -> Path:
    """The file for this very code on this kind of processor."""
    about = f"{llvmlite.__version__} {platform.machine()} {llvm.get_host_cpu_name()}"
    text = hashlib.sha256(f"{about} {llvm.get_host_cpu_features().flatten()}".encode())
    for name in ("compiled", "elementary", "lenses", "machine_code", "rendering", "sources", "tables"):
        text.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return user_cache_path("droulette") / f"kernels-{text.hexdigest()[:16]}.o"


@cache
def _start() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _target() -> llvm.TargetMachine:
    """As Numba has it."""
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


def _load(machine_code: bytes) -> None:
    _start()
    arm = platform.machine() in ("arm64", "aarch64")  # where LLVM's own memory manager may place parts too far apart
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target(), use_lmm=arm)
    engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
    engine.finalize_object()
    functions.update((name, _function(engine, name, example)) for name, example in tables.examples().items())


def _function(engine: llvm.ExecutionEngine, name: str, example: tuple) -> Callable[[tuple], None]:
    kinds = list(map(_kind, _flat(example)))
    words = [word for argument in _flat(example) for word in _words(argument)]
    types = [ctypes.c_double if isinstance(word, float) else ctypes.c_void_p for word in words]
    address = engine.get_function_address(name)
    native = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *types)(address)

    def call(arguments: tuple) -> None:
        flat = list(_flat(arguments))
        if list(map(_kind, flat)) != kinds:
            raise TypeError(f"{name}: found {list(map(_kind, flat))}, expected {kinds}")
        nothing = ctypes.c_void_p()
        at = ctypes.addressof(nothing)
        if status := native(at, at, *(word for argument in flat for word in _words(argument))):
            raise RuntimeError(f"{name}: ended with {status}")

    call.engine = engine  # which owns the code
    return call


def _flat(arguments: tuple) -> Iterator[np.ndarray | int | float]:
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from _flat(argument)
        else:
            yield argument


def _kind(argument: np.ndarray | int | float) -> tuple | type:
    if isinstance(argument, np.ndarray):
        return argument.dtype.char, argument.ndim, argument.flags.c_contiguous
    return type(argument)


def _words(argument: np.ndarray | int | float) -> tuple[int | float | None, ...]:
    if isinstance(argument, np.ndarray):
        a = argument
        return None, None, a.size, a.itemsize, a.ctypes.data, *a.shape, *a.strides
    return (argument,)
