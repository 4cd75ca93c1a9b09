"""One latent, one group: how often it fires, on what, what is near, where it stands in the tree."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from pipeline.codes.store import CodesStore
from pipeline.core.errors import PipelineError
from pipeline.inspection.trees import Grove, children, leaf_of, merge, path_to_root
from pipeline.language_model.token_text import TokenText

AROUND = 12  # tokens on either side
CONTEXTS = 8
MOST_MEMBERS = 64  # of a group, the most frequent ones, are read for its passages


def feature(latent: int, codes: CodesStore, tokens: TokenText, sae: Path, grove: Grove) -> dict[str, Any]:
    """Rate, passages, nearest decoder directions, and the path to the root."""
    if not 0 <= latent < codes.n_latents:
        raise PipelineError(f"there is no feature {latent}; the dictionary has 0 to {codes.n_latents - 1}")
    rows, values = codes.occurrences(latent)
    leaf = leaf_of(grove.tree, latent)
    return {
        "feature": latent,
        "words": grove.latent_words(latent),
        "active_tokens": len(rows),
        "rate": round(len(rows) / codes.n_tokens, 6),
        "mean_when_active": round(float(values.mean()), 4) if len(rows) else None,
        "max": round(float(values.max()), 4) if len(rows) else None,
        "contexts": contexts(codes, tokens, rows, values),
        "nearest by decoder cosine": nearest(sae, latent, grove),
        "path to the root": path_to_root(grove, leaf) if leaf is not None else "too rare to be in the tree",
    }


def group(number: int, codes: CodesStore, tokens: TokenText, grove: Grove) -> dict[str, Any]:
    """Members, passages where they are active together, the two parts, and the path to the root."""
    node = merge(grove.tree, number)
    counts = codes.latent_counts()[node.members]
    read = node.members[np.argsort(-counts, kind="stable")[:MOST_MEMBERS]]
    found = [codes.occurrences(int(latent)) for latent in read]
    rows, inverse = np.unique(np.concatenate([rows for rows, _ in found]), return_inverse=True)
    # each member counts by the share of its own largest value, so that no loud one decides alone
    shares = np.concatenate([values / max(float(values.max(initial=0)), 1e-12) for _, values in found])
    together = np.bincount(inverse, weights=shares)
    return {
        "group": number,
        "words": grove.node_words(number),
        "latents": len(node.members),
        "merged_at_r": round(1 - node.height, 3),
        "rate": round(len(rows) / codes.n_tokens, 6),
        "members": " ".join(map(str, node.members.tolist())),
        "contexts": contexts(codes, tokens, rows, together),
        "parts": children(grove, node),
        "path to the root": path_to_root(grove, number),
    }


def contexts(codes: CodesStore, tokens: TokenText, rows: np.ndarray, strength: np.ndarray) -> list[dict[str, Any]]:
    """The strongest tokens, one a document, each between ``[`` and ``]`` in its surroundings."""
    found: list[dict[str, Any]] = []
    documents: set[int] = set()
    for at in np.argsort(-strength, kind="stable")[: 8 * CONTEXTS]:
        row = int(rows[at])
        start = max(0, row - AROUND)
        block = codes.rows(start, min(codes.n_tokens, row + AROUND + 1))
        document = int(block.doc_id[row - start])
        if document in documents:
            continue
        documents.add(document)
        same = block.seq_id == block.seq_id[row - start]
        pieces = [tokens.piece(int(token)) for token in block.token_id]
        pieces[row - start] = f" [{pieces[row - start].strip()}]"
        text = "".join(piece for piece, kept in zip(pieces, same, strict=True) if kept)
        found.append({"strength": round(float(strength[at]), 3), "document": document, "text": text.strip()})
        if len(found) == CONTEXTS:
            break
    return found


def nearest(sae: Path, latent: int, grove: Grove, n: int = 8) -> list[dict[str, Any]]:
    """The latents whose decoder directions have the highest cosine with this one's."""
    with safe_open(sae / "sae_weights.safetensors", framework="numpy") as weights:
        decoder_sd = weights.get_tensor("W_dec").astype(np.float32)
    decoder_sd /= np.maximum(np.linalg.norm(decoder_sd, axis=1, keepdims=True), 1e-12)
    cosine_s = decoder_sd @ decoder_sd[latent]
    cosine_s[latent] = -np.inf
    best = np.argsort(-cosine_s, kind="stable")[:n]
    return [
        {"feature": int(i), "cosine": round(float(cosine_s[i]), 3), "words": grove.latent_words(int(i))} for i in best
    ]
