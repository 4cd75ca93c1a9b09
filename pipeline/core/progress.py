"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def _nothing(done: int) -> str:
    return ""


def track(
    items: Iterable[Item],
    what: str,
    total: int,
    unit: str,
    done: int = 0,
    scale: int = 1,
    note: Callable[[int], str] = _nothing,
) -> Iterator[Item]:
    """Yield ``items`` while showing ``done * scale`` of ``total * scale`` units, the rate and the time left.

    Arguments count items; ``scale`` is the number of units in one item (tokens in a batch, say). ``note`` says one more
    thing of the units that are done. The last item may be counted short, as the last window of a store is: what is
    shown never passes ``total``.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total * scale, initial=done * scale, desc=what, unit=unit, unit_scale=True) as bar:
            for item in items:
                yield item
                done += 1
                bar.set_postfix_str(note(min(done, total) * scale), refresh=False)
                bar.update(min(done, total) * scale - bar.n)
        return
    yield from _plain_lines(items, what, total, unit, done, scale, note)


def _plain_lines(
    items: Iterable[Item],
    what: str,
    total: int,
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
            shown, left = min(done, total), max(0, total - done) / rate
            speed = f"{rate * scale:,.0f} {unit}/s" if rate * scale >= 1 else f"{1 / (rate * scale):.0f} s each"
            parts = [speed, note(shown * scale), f"{left:.0f} s left"]
            print(
                f"{what}: {shown * scale:,} of {total * scale:,} {unit} ({shown / total:.0%}), "
                f"{', '.join(filter(None, parts))}",
                file=sys.stderr,
                flush=True,
            )
