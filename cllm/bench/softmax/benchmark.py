"""`cllm bench softmax`: how to come from a hidden state to the next word, and how many words there should be.

The predecessor was slow, and its softmax over 10,000 words was blamed. First six heads race at the recipe's shape and
vocabulary, all else the same; then our trainer races against itself with six vocabularies.
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
    """Both tables."""
    report.start_phase("prepare")
    with config.ingest_corpus() as (corpus, folder):
        dataset = prepare_dataset(corpus, folder / "recipe", config.recipe.vocab_size, config.seed)
        heads = [head_trainer(config, dataset, name) for name in HEAD_NAMES]
        found = {"heads": score_round_robin(config, heads, "heads", report)}
        others = [prepare_dataset(corpus, folder / str(size), size, config.seed) for size in VOCAB_SIZES]
        by_size = {each.vocab_size: each for each in others}  # a small repository has no more words
        vocabularies = [config.ours(each, config.seconds, f"{size:,} words") for size, each in by_size.items()]
        found["vocab_sizes"] = score_round_robin(config, vocabularies, "vocabularies", report)
        return {
            **found,
            "seconds": config.seconds,
            "corpus": corpus_report(corpus, dataset),
            **environment_report(config),
        }
