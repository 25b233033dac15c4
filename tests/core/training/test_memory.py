import platform
import subprocess
import sys

import pytest

from core.training.memory import keep_freed_memory

CODE = """
import sys
import numpy as np
from core.training.memory import keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resident()
block = np.ones(64 << 20, np.uint8)
del block
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_a_freed_block_stays_with_the_process_and_without_the_setting_does_not():
    grown = {
        mode: int(subprocess.run([sys.executable, "-c", CODE, mode], capture_output=True, text=True, check=True).stdout)
        for mode in ("keep", "return")
    }
    assert grown["keep"] > 60 << 20
    assert grown["return"] < 8 << 20


def test_another_c_library_is_left_alone(monkeypatch):
    class Other:
        def __getattr__(self, name):
            raise AttributeError(name)

    monkeypatch.setattr("ctypes.CDLL", lambda name: Other())
    assert keep_freed_memory.__wrapped__() is False
