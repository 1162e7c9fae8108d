"""The configuration of a Transformer, and the sizes that follow from it."""

from dataclasses import dataclass
from math import prod

from cllm.config import check_bounds
from cllm.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Dimensions of the Qwen3 architecture, with the letters that shapes in this package use.

    UsageError: a value is out of bounds, `n_head` is not a multiple of `n_kv_head`, or `head_dim` is odd.
    """

    vocab_size: int  # V
    n_layer: int
    n_head: int  # H
    n_kv_head: int  # heads of keys and values; H must be a multiple of it
    n_embd: int  # D
    head_dim: int  # C
    n_inner: int  # F
    context_length: int = 1024  # longest row in training, in tokens
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    tied: bool = True  # the output head is the embedding

    def __post_init__(self) -> None:
        check_bounds(
            self,
            vocab_size=(1, 1 << 20),
            n_layer=(1, 1000),
            n_head=(1, 1000),
            n_kv_head=(1, 1000),
            n_embd=(1, 1 << 16),
            head_dim=(2, 1 << 12),
            n_inner=(1, 1 << 18),
            context_length=(2, 1 << 20),
            rope_theta=(1, 1e12),
            norm_eps=(0, 1),
        )
        if self.n_head % self.n_kv_head or self.head_dim % 2:
            heads = f"n_head {self.n_head}, n_kv_head {self.n_kv_head}, head_dim {self.head_dim}"
            raise UsageError(f"{heads} do not fit: n_head must be a multiple of n_kv_head, and head_dim even")

    @property
    def num_matrix_parameters(self) -> int:
        """Number of parameters in a token's matrix products (including the head, excluding the embedding)."""
        attention = self.n_embd * self.head_dim * (2 * self.n_head + 2 * self.n_kv_head)
        return self.n_layer * (attention + 3 * self.n_embd * self.n_inner) + self.vocab_size * self.n_embd

    def training_flops_per_token(self, context: int) -> float:
        """Training FLOPs per token at this context length in tokens: 6 per matrix parameter, plus attention."""
        return 6 * self.num_matrix_parameters + 6 * self.n_layer * self.n_head * self.head_dim * context


def parameter_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of each parameter, in the order of `Transformer.named_parameters`, without building a model."""
    width, head_dim = config.n_embd, config.head_dim
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (config.vocab_size, width)}
    for layer in range(config.n_layer):
        block = f"blocks.{layer}."
        shapes |= {
            f"{block}attention_norm.weight": (width,),
            f"{block}attention.qkv.weight": ((config.n_head + 2 * config.n_kv_head) * head_dim, width),
            f"{block}attention.out.weight": (width, config.n_head * head_dim),
            f"{block}attention.q_norm.weight": (head_dim,),
            f"{block}attention.k_norm.weight": (head_dim,),
            f"{block}feed_forward_norm.weight": (width,),
            f"{block}feed_forward.gate_up.weight": (2 * config.n_inner, width),
            f"{block}feed_forward.down.weight": (width, config.n_inner),
        }
    shapes["norm.weight"] = (width,)
    if not config.tied:
        shapes["head.weight"] = (config.vocab_size, width)
    return shapes


def num_parameters(config: TransformerConfig) -> int:
    """Number of trainable parameters."""
    return sum(prod(shape) for shape in parameter_shapes(config).values())


def is_matrix(name: str) -> bool:
    """Whether a parameter is a projection inside a block, rather than an embedding, a head or a vector."""
    return name.startswith("blocks.") and "norm" not in name


def fused_rows(config: TransformerConfig, name: str) -> tuple[int, ...]:
    """Numbers of rows of the matrices that are stacked in a parameter; one number if it is a single matrix."""
    if name.endswith("attention.qkv.weight"):
        return (config.n_head * config.head_dim, *[config.n_kv_head * config.head_dim] * 2)
    if name.endswith("feed_forward.gate_up.weight"):
        return (config.n_inner, config.n_inner)
    return (parameter_shapes(config)[name][0],)
