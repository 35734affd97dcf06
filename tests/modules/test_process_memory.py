"""Memory that is freed stays with the process."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import torch
from encodec_lab.modules.process_memory import keep_freed_memory

def num_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(25_000_000).fill_(1.0)  # 100 MB: more than glibc keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

num_faults()
before = num_faults()
keeps = keep_freed_memory()
for _ in range(20):  # a freed piece may be too small by what separates it from the next
    num_faults()
print(int(keeps), before, num_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_pages_are_asked_for_once():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    keeps, before, after = map(int, result.stdout.split())
    assert keeps
    assert before > 0, "without it, every tensor is of fresh pages"
    assert after < 0.1 * before
