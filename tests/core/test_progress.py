"""Lines of progress: how far, how fast, of what; without a total there is no time left."""

import pytest

from pipeline.core import progress
from pipeline.core.progress import named, track


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is 25 s after the last one."""
    now = iter(range(0, 10_000, 25))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))


@pytest.mark.parametrize(
    ("total", "said"),
    [
        (2, ["x: 1 of 2 steps (50%), 25 s each, 25 s left", "x: 2 of 2 steps (100%), 25 s each, 0 s left"]),
        (1, ["x: 1 of 1 steps (100%), 25 s each, 0 s left"] * 2),
        (None, ["x: 1 steps, 25 s each", "x: 2 steps, 25 s each"]),
    ],
)
def test_lines(total: int | None, said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("ab", "x", total, "steps")) == ["a", "b"]
    assert capsys.readouterr().err.splitlines() == said


def test_work_inside_work_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with named("npo on a topic"):
        list(track("a", "forgetting", 1, "steps"))
    list(track("a", "forgetting", 1, "steps"))
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "npo on a topic, forgetting",
        "forgetting",
    ]
