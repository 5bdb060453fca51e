"""CUDA's kernels on machines without a card: the same C++ source, compiled for the processor, thread after thread.

What it shows: that the kernels compute what they should. That CUDA's arithmetic is the processor's, a card must show.
"""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import tempfile
from pathlib import Path

HOST = """
#include <cmath>
#include <cstring>
#define __device__
#define __global__
#define __shared__ static
struct Place { unsigned x; };
static Place blockIdx, threadIdx, blockDim = {256};
inline void __syncthreads() {}  // the first thread comes first, and the last one last
inline long long __double_as_longlong(double x) { long long bits; memcpy(&bits, &x, 8); return bits; }
inline double __longlong_as_double(long long bits) { double x; memcpy(&x, &bits, 8); return x; }
template <class T> inline void atomicAdd(T *at, T value) { *at += value; }
"""
LAUNCH = """
extern "C" void launch_NAME(int blocks, void **parameters)
{
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
        for (threadIdx.x = 0; threadIdx.x < 256; threadIdx.x++)
            NAME(ARGUMENTS);
}
"""
NUMBERS = "const double*"
BATCH = (NUMBERS, "int", NUMBERS, "int", "int", NUMBERS, "int", NUMBERS, NUMBERS)
OF_DRAWING = {"draw": (*BATCH, "Pixel*"), "add_up": (*BATCH, "int", "unsigned long long*")}
OF_NOISE = {"expose": (NUMBERS, "int", "int", "double*")}


def library(source: str) -> Path:
    """With a function `launch_NAME` for each kernel, of a number of blocks, and the addresses of its arguments."""
    text = HOST + source
    for name, kinds in (OF_DRAWING if "#if 1" in source else OF_NOISE).items():
        arguments = ", ".join(f"*({kind}*)parameters[{k}]" for k, kind in enumerate(kinds))
        text += LAUNCH.replace("NAME", name).replace("ARGUMENTS", arguments)
    folder = Path(tempfile.gettempdir(), "droulette-emulated-cuda")
    folder.mkdir(exist_ok=True)
    made = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.so"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            file, new = Path(work, "kernel.cpp"), Path(work, "kernel.so")
            file.write_text(text)
            command = ["g++", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-w", "-o", str(new), str(file)]
            subprocess.run(command, check=True)
            new.rename(made)
    return made


def compiled(source: str, name: str, device):
    """In place of `cuda._compiled`."""
    launch = getattr(ctypes.CDLL(str(library(source))), f"launch_{name}")

    def run(blocks: int, arguments: list) -> None:
        values = [ctypes.c_int(x) if isinstance(x, int) else ctypes.c_void_p(x.data_ptr()) for x in arguments]
        launch(blocks, (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values)))

    return run
