"""Memory that training frees and takes again."""

import json
import platform
import resource
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not GNU's C library")
PAGES = 2**26 // resource.getpagesize()  # of a tensor of 64 MiB
# In a process of its own, whose heap has no gaps of that size yet.
PROGRAM = """
import json, resource, torch
from droulette.learning import memory

def faults(repeats):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(repeats):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

found = {"before": faults(4)}
with memory.kept():
    faults(10)  # glibc may lay several freed blocks of one size aside before it uses one again
    found |= {"kept": faults(4), "resident": resident()}
found["given back"] = found["resident"] - resident()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, int]:
    """Pages that the system filled while four tensors of 64 MiB were made and freed in turn, and pages resident."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_freed_memory_is_used_again(found):
    assert found["before"] > 3 * PAGES
    assert found["kept"] < PAGES


def test_it_is_given_back_at_the_end(found):
    assert found["given back"] > 0.9 * PAGES
