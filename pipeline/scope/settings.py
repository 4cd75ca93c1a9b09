"""How text like a few examples is found."""

from pipeline.core.settings import NotNegative, Positive, PositiveShare, Settings


class ScopeSettings(Settings):
    """Section ``scope``."""

    clip: Positive
    power: Positive
    residual_weight: NotNegative
    inside: PositiveShare
