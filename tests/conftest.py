"""What every test needs: no network, no thread storms, and the repository's root on the path."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("JAXTYPING_DISABLE", "1")
# Some images forbid byte code; every process that a test starts would then compile torch and transformers anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture
def root() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parent.parent
