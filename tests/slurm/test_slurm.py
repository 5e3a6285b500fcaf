"""The scripts beside this file, for those who run everything through pytest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slurm
@pytest.mark.parametrize("name", ["run.sh", "array.sh"])
def test_two_nodes_of_slurm(name: str):
    if os.geteuid() != 0:
        pytest.skip("needs root, to start Slurm")
    if shutil.which("slurmd") is None and shutil.which("apt-get") is None:
        pytest.skip("needs slurm-wlm and munge (apt-get install slurm-wlm munge)")
    script = Path(__file__).parent / name
    result = subprocess.run([script, sys.executable], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
