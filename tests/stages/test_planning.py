from typing import Any

import pytest

from cllm.model.config import TransformerConfig
from cllm.stages.plan import apply_config
from cllm.training.plan import Engine, OptimizerConfig, Phase, Plan, TrainingConfig

PLAN = Plan(
    model=TransformerConfig(
        vocab_size=61, n_layer=2, n_head=2, n_kv_head=2, n_embd=24, head_dim=8, n_inner=40, context_length=32
    ),
    phases=(Phase(context=32, rows=1, until=1.0, steps=4),),
    engine=Engine(dtype="float32", instruction_set="", torch_version="", numba_version=""),
    training=TrainingConfig(dropout=0.1),
)


@pytest.mark.parametrize(
    "training, dropout", [({}, 0.1), ({"warmup": 0.5}, 0.1), ({"dropout": 0}, 0), ({"dropout": 0.05}, 0.05)]
)
def test_what_is_configured_wins_and_what_was_derived_stays(training: dict[str, Any], dropout: float) -> None:
    plan = apply_config(PLAN, training, OptimizerConfig(lr=0.5))
    assert plan.training.dropout == dropout and plan.optimizer.lr == 0.5
    assert plan.training.warmup == training.get("warmup", TrainingConfig().warmup)
