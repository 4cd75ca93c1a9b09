"""How a process uses torch."""

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.processes import pick_device


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    with pytest.raises(PipelineError, match="no CUDA device"):
        pick_device("cuda")
