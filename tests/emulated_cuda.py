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
ARGUMENTS = {
    "draw": ("BATCH, Pixel *pictures", "size, rays, rays_across, centre_x, centre_y, pictures"),
    "add_up": ("BATCH, int rows, unsigned long long *sums", "size, rays, rays_across, centre_x, centre_y, rows, sums"),
    "expose": ("const double *constants, int of_row, int pixels, double *pictures", ""),
}
LAUNCH = """
extern "C" void launch(int blocks, PARAMETERS)
{
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
        for (threadIdx.x = 0; threadIdx.x < 256; threadIdx.x++)
            NAME(ARGUMENTS);
}
"""


def compiled(source: str, name: str):
    """In place of `cuda._compiled`."""
    parameters, rest = ARGUMENTS[name]
    arguments = f"tests, of_tests, levels, of_levels, {rest}" if rest else "constants, of_row, pixels, pictures"
    text = LAUNCH.replace("PARAMETERS", parameters).replace("NAME", name).replace("ARGUMENTS", arguments)
    text = HOST + source + text
    folder = Path(tempfile.gettempdir(), "droulette-emulated-cuda")
    folder.mkdir(exist_ok=True)
    library = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.so"
    if not library.exists():
        file = Path(tempfile.mkstemp(suffix=".cpp", dir=folder)[1])
        file.write_text(text)
        made = file.with_suffix(".so")
        command = ["g++", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-w", "-o", str(made), str(file)]
        subprocess.run(command, check=True)
        made.rename(library)
        file.unlink()
    function = ctypes.CDLL(str(library)).launch

    def run(blocks: int, arguments: list) -> None:
        values = [item if isinstance(item, int) else ctypes.c_void_p(item.data_ptr()) for item in arguments]
        function(blocks, *values)

    return run
