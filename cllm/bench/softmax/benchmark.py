"""`cllm bench softmax`: comparison of output heads and of vocabulary sizes.

The predecessor was slow, which was attributed to its softmax over 10,000 words. First, six heads are compared at the
recipe's shape and vocabulary with everything else equal; then cllm's trainer is compared at six vocabulary sizes.
"""

from typing import Any

from cllm.bench.ablation.trainers import head_trainer
from cllm.bench.shared.config import BenchmarkConfig, corpus_report, environment_report
from cllm.bench.shared.dataset import prepare_dataset
from cllm.bench.shared.round_robin import score_round_robin
from cllm.progress import Reporter

HEAD_NAMES = ("dense", "dense in chunks", "sampled gradient", "sampled", "12 classes", "adaptive")
VOCAB_SIZES = (1024, 2048, 4096, 8192, 10_240, 16_384)


def bench_softmax(config: BenchmarkConfig, report: Reporter) -> dict[str, Any]:
    """Return the rows of both tables."""
    report.start_phase("prepare")
    with config.ingest_corpus() as (corpus, folder):
        dataset = prepare_dataset(corpus, folder / "recipe", config.recipe.vocab_size, config.seed)
        heads = [head_trainer(config, dataset, name) for name in HEAD_NAMES]
        found = {"heads": score_round_robin(config, heads, "heads", report)}
        others = [prepare_dataset(corpus, folder / str(size), size, config.seed) for size in VOCAB_SIZES]
        by_size = {each.vocab_size: each for each in others}  # a small repository may yield smaller vocabularies
        vocabularies = [config.ours(each, config.seconds, f"{size:,} words") for size, each in by_size.items()]
        found["vocab_sizes"] = score_round_robin(config, vocabularies, "vocabularies", report)
        return {
            **found,
            "seconds": config.seconds,
            "corpus": corpus_report(corpus, dataset),
            **environment_report(config),
        }
