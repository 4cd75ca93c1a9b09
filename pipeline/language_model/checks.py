"""How many decoder layers a model has, from its config.json alone: asked before any stage runs."""

import json
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

KEYS = ("num_hidden_layers", "n_layer", "num_layers")  # transformers' usual name, GPT-2's, GPT-Neo's


def layer_count(source: str, revision: str | None) -> int | None:
    """Layers of a model folder, or of a hub model whose config is in the local cache; None where it does not say."""
    file = Path(source).expanduser() / "config.json"
    if not file.exists():
        found = try_to_load_from_cache(source, "config.json", revision=revision)
        if not isinstance(found, str):
            return None
        file = Path(found)
    config = json.loads(file.read_text(encoding="utf-8"))
    config = config.get("text_config", config)  # a model that also sees keeps its decoder there
    return next((config[key] for key in KEYS if key in config), None)
