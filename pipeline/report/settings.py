"""How the report is written."""

from pipeline.core.settings import Count, Settings


class ReportSettings(Settings):
    """Section ``report``."""

    shown_groups: Count
    words_per_group: Count
    shown_nodes: Count
