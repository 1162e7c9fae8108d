"""`cllm bench softmax`: how to come from a hidden state to the next word, and how many words there should be.

The predecessor was slow, and its softmax over 10,000 words was blamed. First six heads race at the recipe's shape and
vocabulary, all else the same; then our trainer races against itself with six vocabularies.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from cllm.bench.contender import Contender
from cllm.bench.contest import Contest, about, circumstances
from cllm.bench.material import prepare_material
from cllm.bench.race import Course, race
from cllm.progress import Reporter

HEAD_NAMES = ("dense", "dense in chunks", "gradient by lot", "sampled", "12 classes", "adaptive")
VOCABULARIES = (1024, 2048, 4096, 8192, 10_240, 16_384)


def bench_softmax(contest: Contest, report: Reporter) -> dict[str, Any]:
    """Both tables."""
    report.phase("prepare")
    with contest.corpus() as (corpus, folder):
        material = prepare_material(corpus, folder / "recipe", contest.recipe.vocab_size, contest.seed)
        heads = [contest.headed(material, name) for name in HEAD_NAMES]
        found = {"heads": raced(contest, heads, "heads", report)}
        others = [prepare_material(corpus, folder / str(size), size, contest.seed) for size in VOCABULARIES]
        by_size = {each.vocab_size: each for each in others}  # a small repository has no more words
        vocabularies = [contest.ours(each, contest.seconds, f"{size:,} words") for size, each in by_size.items()]
        found["vocabularies"] = raced(contest, vocabularies, "vocabularies", report)
        return {
            **found,
            "seconds": contest.seconds,
            "corpus": about(corpus, material),
            **circumstances(contest),
        }


def raced(contest: Contest, contenders: Sequence[Contender], name: str, report: Reporter) -> list[dict[str, Any]]:
    """The figures of contenders that had the same seconds, in turn."""
    with ExitStack() as stack:
        for contender in contenders:
            stack.enter_context(contender)
        for _ in race(contenders, contest.seconds, Course(report, name, contest.seconds * len(contenders))):
            pass
        return [row_of(contender) for contender in contenders]


def row_of(contender: Contender) -> dict[str, Any]:
    """The figures of one, and its last look."""
    material = contender.material
    return {
        "name": contender.name,
        "vocab_size": material.vocab_size,
        "tokens_per_second": contender.tokens_per_second,
        "bytes_per_second": contender.tokens_per_second * material.train_bytes / material.train_tokens,
        "peak_memory_bytes": contender.peak_memory_bytes,
        **asdict(contender.look()),
    }
