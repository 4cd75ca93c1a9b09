"""How text like a few examples is found."""

from pipeline.core.settings import Positive, PositiveShare, Settings


class ScopeSettings(Settings):
    """Section ``scope``."""

    clip: Positive
    power: Positive
    inside: PositiveShare
