"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")


_inside: ContextVar[str] = ContextVar("inside", default="")


@contextmanager
def named(work: str) -> Iterator[None]:
    """Progress shown inside the block says that it is part of this work."""
    token = _inside.set(f"{work}, ")
    try:
        yield
    finally:
        _inside.reset(token)


def _nothing(done: int) -> str:
    return ""


def track(
    items: Iterable[Item],
    what: str,
    total: int | None,
    unit: str,
    done: int = 0,
    scale: int = 1,
    note: Callable[[int], str] = _nothing,
) -> Iterator[Item]:
    """Yield ``items`` while showing ``done * scale`` of ``total * scale`` units, the rate and the time left.

    Arguments count items; ``scale`` is the number of units in one item (tokens in a batch, say). ``note`` says one more
    thing of the units that are done. The last item may be counted short, as the last window of a store is: what is
    shown never passes ``total``. Where that is not known (None) the time left is not either. Of several processes only
    the first draws bars.
    """
    what = _inside.get() + what
    if sys.stderr.isatty() and multiprocessing.parent_process() is None:
        from tqdm import tqdm

        with tqdm(total=total and total * scale, initial=done * scale, desc=what, unit=unit, unit_scale=True) as bar:
            for item in items:
                yield item
                done += 1
                shown = min(done, total or done) * scale
                bar.set_postfix_str(note(shown), refresh=False)
                bar.update(shown - bar.n)
        return
    yield from _plain_lines(items, what, total, unit, done, scale, note)


def _plain_lines(
    items: Iterable[Item],
    what: str,
    total: int | None,
    unit: str,
    done: int,
    scale: int,
    note: Callable[[int], str],
    every: float = 20.0,
) -> Iterator[Item]:
    """One line on stderr about every ``every`` seconds."""
    start = said = time.monotonic()
    first = done
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - said >= every:
            said = now
            rate = (done - first) / (now - start)
            shown = min(done, total or done)
            speed = f"{rate * scale:,.0f} {unit}/s" if rate * scale >= 1 else f"{1 / (rate * scale):.0f} s each"
            parts = [speed, note(shown * scale), f"{max(0, total - done) / rate:.0f} s left" if total else ""]
            of = f" of {total * scale:,} {unit} ({shown / total:.0%})" if total else f" {unit}"
            print(f"{what}: {shown * scale:,}{of}, {', '.join(filter(None, parts))}", file=sys.stderr, flush=True)
