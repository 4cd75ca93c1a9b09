"""Settings of the embedded world."""

from dataclasses import dataclass

from pipeline.settings.strict import require


@dataclass(frozen=True)
class WorldSettings:
    """Section ``world``: the size of the fictional knowledge base, how entangled it is, how much text it makes."""

    domains: int = 4
    topics_per_domain: int = 4
    entities_per_topic: int = 8
    first_name_uses: int = 4
    last_name_uses: int = 1
    domain_values: int = 12
    topic_values: int = 8
    common_values: int = 16
    labelled_share: float = 1.0
    training_tokens: int = 400_000
    general_share: float = 0.35

    def __post_init__(self) -> None:
        for key in ("domains", "topics_per_domain", "entities_per_topic"):
            require(2 <= getattr(self, key) <= 64, f"{key} is {getattr(self, key)}; it must be 2 to 64")
        for key in ("first_name_uses", "last_name_uses"):
            require(getattr(self, key) >= 1, f"{key} is {getattr(self, key)}; it must be 1 or more")
        for key in ("domain_values", "topic_values", "common_values"):
            require(getattr(self, key) >= 4, f"{key} is {getattr(self, key)}; four answer options need at least 4")
        require(0 < self.labelled_share <= 1, f"labelled_share is {self.labelled_share}; it must be in (0, 1]")
        require(0 < self.general_share < 1, f"general_share is {self.general_share}; it must be between 0 and 1")
        require(self.training_tokens >= 1000, f"training_tokens is {self.training_tokens}; it must be 1000 or more")

    def nodes(self) -> dict[str, int]:
        """Level -> how many nodes it has."""
        topics = self.domains * self.topics_per_domain
        return {"domain": self.domains, "topic": topics, "entity": topics * self.entities_per_topic}
