r"""Nearest neighbours by cosine: what embeddings are worth without training anything.

The score of class c for a clip is the share of its k most similar training clips that have c,

    p_c = (1 / k) \sum_{i \in N_k} y_{ic}
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK_BYTES = 64e6
"""What one block of rows may take: its similarities to all training rows, and its neighbours' labels."""

EXTREME = 1e-6
"""Shares are kept this far from 0 and 1, so that their logits are finite."""


def neighbour_shares(
    train: Float[Tensor, "train dim"],
    target: Float[Tensor, "train labels"],
    x: Float[Tensor, "rows dim"],
    ks: Sequence[int],
) -> Float[Tensor, "ks rows labels"]:
    """Return, for every k, the share of each label among the k training rows most similar to each row.

    `target` is multi-hot. Of equally similar rows the earlier ones count. A row of zeros is equally
    similar, 0, to everything.
    """
    unit = torch.nn.functional.normalize(train.double(), dim=1)
    most = min(max(ks), len(train))
    block = max(1, int(BLOCK_BYTES / (8 * (len(train) + most * target.shape[1]))))
    shares = []
    for rows in x.split(block):
        similarity = torch.nn.functional.normalize(rows.double(), dim=1) @ unit.T
        nearest: Int[Tensor, "rows most"] = similarity.argsort(dim=1, descending=True, stable=True)[:, :most]
        counts = target[nearest].double().cumsum(1)
        taken = [min(k, most) for k in ks]
        shares.append(torch.stack([counts[:, k - 1] / k for k in taken]).to(target.dtype))
    return torch.cat(shares, 1)


def nearest_logits(
    shares: Float[Tensor, "*rows labels"], *, multilabel: bool
) -> Float[Tensor, "*rows labels"]:
    """Return logits whose sigmoid (multilabel) or softmax (multiclass) gives the shares back."""
    kept = shares.double().clamp(EXTREME, 1 - EXTREME)
    return (torch.logit(kept) if multilabel else kept.log()).float()
