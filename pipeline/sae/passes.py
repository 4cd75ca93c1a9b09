"""Which dictionaries train together: as many as fit in memory share one pass over the store."""

from pipeline.settings.sae import SAESettings


def bytes_of(settings: SAESettings, d_model: int) -> int:
    """Peak of one dictionary in training.

    Encoder and decoder with gradient and both moments of Adam, 4 x 2 [s, d] in float32; pre-activations and their
    comparison, [b, s] in float32 and bool; products of codes and the matrix made from them, 2 [s, s] in float64.
    """
    weights = 4 * 2 * settings.d_sae * d_model * 4
    batch = settings.batch_size * settings.d_sae * 5
    products = 2 * settings.d_sae**2 * 8 if settings.correlation_every else 0
    return weights + batch + products


def passes(needs: list[int], budget: int) -> list[list[int]]:
    """Numbers of the dictionaries of each pass, in order; one that is larger than the budget has a pass to itself."""
    groups: list[list[int]] = []
    left = 0
    for number, need in enumerate(needs):
        if not groups or need > left:
            groups.append([])
            left = budget
        groups[-1].append(number)
        left -= need
    return groups
