"""How the report is written."""

from pipeline.core.settings import Count, Settings


class ReportSettings(Settings):
    """Section ``report``."""

    shown_nodes: Count
