"""Networks with one additional component from `lattice`, or none, which `cllm bench lattice` compares.

Each constructor takes `counts` (V,) int64, the frequency of each token in the training data.
"""

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllm.lattice.clock import RINGS
from cllm.lattice.divisors import gcd_similarity, residues
from cllm.lattice.kissing import KISSING_NUMBER, face_centred_cubic
from cllm.lattice.primes import first_primes
from cllm.model.cache import KVCache
from cllm.model.config import TransformerConfig
from cllm.model.transformer import Attention, Block, Transformer, init_std, initialise, rotate

MODULI = (12, 13, 17, 19)  # pairwise coprime: 50,388 tokens have distinct residues


def baseline_network(config: TransformerConfig, counts: Tensor) -> Transformer:
    """Return cllm's network, unchanged; `counts` (V,) is not used."""
    network = Transformer(config)
    initialise(network, torch.Generator().manual_seed(torch.initial_seed()))
    return network


def with_kissing_words(config: TransformerConfig, counts: Tensor) -> Transformer:
    """Return a network whose embeddings are initialised as positions in a tree of kissing spheres, not at random.

    The digits of a token's frequency rank (from `counts` (V,)) in base 12 are its path in the tree. Each group of three
    channels is one of the 12 directions of the face-centred cubic lattice, chosen by two of the digits and a prime.
    """
    network = baseline_network(config, counts)
    words, width = network.embedding.weight.shape
    ranks = counts.argsort(descending=True, stable=True).argsort().numpy()
    levels = max(2, int(np.ceil(np.log(words) / np.log(KISSING_NUMBER))))
    digits = ranks[:, None] // KISSING_NUMBER ** np.arange(levels) % KISSING_NUMBER  # (V, levels)
    channel_triples = np.arange(-(-width // 3))
    primes = first_primes(len(channel_triples) + 2)[2:]  # from 5 on: none divides twelve
    directions = digits[:, channel_triples % levels] * primes + digits[:, (channel_triples + 1) % levels]
    vectors = face_centred_cubic()[directions % KISSING_NUMBER].reshape(words, -1)[:, :width]
    scale = init_std(config, "embedding.weight") * 3**0.5  # the mean square of a direction's parts is 1/3
    with torch.no_grad():
        network.embedding.weight.copy_(torch.from_numpy(vectors * scale))
    return network


class ClockEmbedding(nn.Embedding):
    """Token embedding plus a linear projection of clock features of the position; ids (B, T) to (B, T, D)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config.vocab_size, config.n_embd)
        periods = torch.tensor(sorted(set(RINGS)), dtype=torch.float64)
        angles = 2 * torch.pi * torch.arange(config.context_length, dtype=torch.float64)[:, None] / periods
        self.register_buffer("_features", torch.cat((angles.sin(), angles.cos()), 1).float())  # (T, 2 P)
        self.projection = nn.Parameter(torch.zeros(2 * len(periods) * config.n_embd))  # a vector: no weight decay

    def forward(self, ids: Tensor) -> Tensor:
        features = cast(Tensor, self._features)[: ids.size(1)]
        return super().forward(ids) + features @ self.projection.view(features.size(1), -1)


def with_clock_positions(config: TransformerConfig, counts: Tensor) -> Transformer:
    """Return a network that adds sines and cosines of the clock's periods to the embedding, by a trained matrix.

    The periods are 12, 60 and 100 tokens. `counts` (V,) is not used.
    """
    return with_embedding(ClockEmbedding(config), config, counts)


class ResidueEmbedding(nn.Embedding):
    """Token embedding plus embeddings shared by all tokens with the same residue; ids (B, T) to (B, T, D)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config.vocab_size, config.n_embd)
        offsets = np.cumsum([0, *MODULI[:-1]])
        rows = residues(np.arange(config.vocab_size), MODULI) + offsets
        self.register_buffer("_rows", torch.from_numpy(rows))  # (V, M)
        self.residues = nn.Parameter(torch.zeros(sum(MODULI), config.n_embd))

    def forward(self, ids: Tensor) -> Tensor:
        rows = cast(Tensor, self._rows)[ids]
        return super().forward(ids) + F.embedding(rows, self.residues).sum(-2)


def with_residue_words(config: TransformerConfig, counts: Tensor) -> Transformer:
    """Return a network that adds embeddings of the id's residues modulo 12, 13, 17 and 19 (a residue number system).

    `counts` (V,) is not used.
    """
    return with_embedding(ResidueEmbedding(config), config, counts)


def with_embedding(embedding: nn.Embedding, config: TransformerConfig, counts: Tensor) -> Transformer:
    """Return cllm's network with `embedding`, initialised with the network's weights; `counts` (V,) is not used."""
    network = baseline_network(config, counts)
    with torch.no_grad():
        embedding.weight.copy_(network.embedding.weight)
    network.embedding = embedding
    return network


class BiasedAttention(Attention):
    """Attention with a score bias: a matrix (T, T) times one scalar per head, trained if `is_learned`.

    Maps x (B, T, D) to (B, T, D).
    """

    def __init__(self, config: TransformerConfig, layer: int, bias: Tensor, is_learned: bool) -> None:
        super().__init__(config, layer)
        causal_mask = torch.full_like(bias, float("-inf")).triu_(1)
        self.register_buffer("_bias", bias)
        self.register_buffer("_causal_mask", causal_mask)
        self.bias_scale = nn.Parameter(torch.zeros(config.n_head), requires_grad=is_learned)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None) -> Tensor:
        batch, num_tokens, _ = x.shape
        qkv = self.qkv(x).view(batch, num_tokens, 3, self.config.n_head, self.config.head_dim)
        q = rotate(self.q_norm(qkv[:, :, 0]), cos, sin).transpose(1, 2)
        k = rotate(self.k_norm(qkv[:, :, 1]), cos, sin).transpose(1, 2)
        bias, causal_mask = (cast(Tensor, each)[:num_tokens, :num_tokens] for each in (self._bias, self._causal_mask))
        scores = (
            q @ k.transpose(2, 3) * self.config.head_dim**-0.5 + self.bias_scale[:, None, None] * bias + causal_mask
        )
        values = torch.softmax(scores, -1) @ qkv[:, :, 2].transpose(1, 2)
        return self.out(values.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def with_gcd_bias(config: TransformerConfig, counts: Tensor) -> Transformer:
    """Return a network with an attention bias by the common divisors of two positions and a trained scale per head.

    `counts` (V,) is not used.
    """
    return with_attention_bias(config, counts, is_learned=True)


def with_no_bias(config: TransformerConfig, counts: Tensor) -> Transformer:
    """Return a network with the same attention code and a bias of zero: the control for the bias's computing time.

    `counts` (V,) is not used.
    """
    return with_attention_bias(config, counts, is_learned=False)


def with_attention_bias(config: TransformerConfig, counts: Tensor, is_learned: bool) -> Transformer:
    """Return a network with `BiasedAttention` by the GCD similarity of positions; `counts` (V,) is not used."""
    network = baseline_network(config, counts)
    positions = np.arange(1, config.context_length + 1)
    bias = torch.from_numpy(gcd_similarity(positions[:, None], positions)).float()
    for layer, block in enumerate(network.blocks):
        attention = BiasedAttention(config, layer, bias, is_learned)
        attention.load_state_dict(cast(Block, block).attention.state_dict(), strict=False)
        block.attention = attention
    return network


COMPONENTS: dict[str, Callable[[TransformerConfig, Tensor], Transformer]] = {
    "none": baseline_network,
    "kissing words": with_kissing_words,
    "clock positions": with_clock_positions,
    "gcd bias": with_gcd_bias,
    "no bias": with_no_bias,
    "residue words": with_residue_words,
}
