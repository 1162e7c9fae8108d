"""`cllm bench train`: our trainer beside nanoGPT's recipe, on the same documents, tokenizer and machine, in turn.

In the race, each has so many seconds of its own clock, in slices one after another:

    stock      GPT-2 by Transformers in nanoGPT's recipe, float32, eager
    compiled   the same with torch.compile, and autocast where the processor multiplies bfloat16
    ours       our trainer at the recipe's shape and vocabulary

The first two run at 0.001, and at the rate that was the best of several in a quarter of the time; the better counts.

Between the slices, whole trainings by `cllm train`'s own choices are run, each with a budget of its own: where their
course comes down to the recipe's loss says how long ours needs. Scored are held-out documents, each token with at
least half a context before it; scoring is on no clock.
"""

import shutil
import sysconfig
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from cllm.bench.contender import Alone, Contender, Ours, Point
from cllm.bench.contest import Contest, about, circumstances, require_peer
from cllm.bench.material import Material, prepare_material
from cllm.bench.plans import network_of
from cllm.bench.race import SLICES, Course, race, seconds_to
from cllm.progress import Reporter
from cllm.spheres import Nursery, Sphere
from cllm.stages.planning import measured
from cllm.training.choose import vocab_size_for
from cllm.training.launch import worker_environment
from cllm.training.plan import Recipe as OurRecipe

LOOKS = (1, 2, 4, 7, 11, 16, SLICES)  # slices after which the contenders are scored
SWEEP = (5e-4, 1e-3, 2e-3, 4e-3)  # learning rates
SWEEP_SHARE = 0.25  # of the race's seconds, for each of them
# After which slices whole trainings are run, and their budgets as shares of the race's seconds.
TRAININGS = {2: 1 / 60, 4: 1 / 40, 6: 1 / 30, 8: 1 / 20, 10: 1 / 15, 12: 1 / 10, 14: 1 / 8, 16: 1 / 5}


@dataclass
class Entrants:
    """Who takes part in the race, and what was found on the way."""

    stocks: list[Alone]  # one for each learning rate
    compiled: list[Alone]  # as many; without a C++ compiler there are none
    ours: Ours
    peaks: list[float] = field(default_factory=list)  # GFLOP/s
    trainings: list[Point] = field(default_factory=list)

    @property
    def all(self) -> list[Contender]:
        return [*self.stocks, *self.compiled, self.ours]


def bench_train(contest: Contest, report: Reporter) -> dict[str, Any]:
    """All figures of the comparison."""
    require_peer()
    report.phase("prepare")
    with contest.corpus() as (corpus, folder):
        at_recipe = prepare_material(corpus, folder / "recipe", contest.recipe.vocab_size, contest.seed)
        vocab_size = vocab_size_for(sum(document.bytes for document in corpus.train))
        chosen = prepare_material(corpus, folder / "chosen", vocab_size, contest.seed)
        rates = sweep(contest, at_recipe, report)
        best = min(rates, key=lambda found: found["bits_per_byte"])["lr"]
        return {
            **compete(contest, at_recipe, chosen, best, report),
            "sweep": rates,
            "cold_kernels_seconds": cold_kernels_seconds(contest, at_recipe),
            "seconds": contest.seconds,
            "corpus": about(corpus, at_recipe),
            **circumstances(contest),
        }


def sweep(contest: Contest, material: Material, report: Reporter) -> list[dict[str, float]]:
    """The stock recipe's bits per byte after a quarter of the race, at each learning rate, in turn."""
    seconds = contest.seconds * SWEEP_SHARE
    with ExitStack() as stack:
        swept = [stack.enter_context(contest.stock(material, seconds, lr)) for lr in SWEEP]
        for _ in race(swept, seconds, Course(report, "sweep", seconds * len(swept))):
            pass
        return [{"lr": lr, "bits_per_byte": each.look().bits_per_byte} for lr, each in zip(SWEEP, swept, strict=True)]


def compete(contest: Contest, at_recipe: Material, chosen: Material, lr: float, report: Reporter) -> dict[str, Any]:
    """The race, and the whole trainings between its slices."""
    seconds, dtype = contest.seconds, contest.engine.dtype
    with ExitStack() as stack:
        rates = sorted({contest.recipe.lr, lr})
        stocks = [contest.stock(at_recipe, seconds, rate) for rate in rates]
        compiled_rates = rates if can_compile(report) else []
        compiled = [contest.stock(at_recipe, seconds, rate, compiled=True) for rate in compiled_rates]
        entrants = Entrants(stocks, compiled, contest.ours(at_recipe, seconds))
        for contender in entrants.all:
            stack.enter_context(contender)
        course = Course(report, "race", seconds * (len(entrants.all) + sum(TRAININGS.values())))
        for number in race(entrants.all, seconds, course):
            if number in LOOKS:
                entrants.peaks.append(stocks[0].peak(dtype))
                found = [f"{each.name} {each.look().bits_per_byte:.3f}" for each in entrants.all]
                report.say(f"after {seconds * number / SLICES:.0f} s: {', '.join(found)} bits per byte")
            if number in TRAININGS:
                entrants.trainings.append(trained(contest, chosen, seconds * TRAININGS[number], course))
        return figures(contest, entrants)


def can_compile(report: Reporter) -> bool:
    """Whether there is what torch.compile needs; it is said where there is not."""
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    found = shutil.which("g++") is not None and headers.exists()
    if not found:
        report.say("without a C++ compiler (g++) and Python's headers the compiled recipe cannot take part")
    return found


def trained(contest: Contest, material: Material, seconds: float, course: Course) -> Point:
    """A whole training by `cllm train`'s own choices."""
    with contest.product(material, seconds) as product:
        product.learn(float("inf"))
        point = product.look()
    course.went(product.seconds, product.name)
    course.say(f"{product.name}: {point.bits_per_byte:.3f} bits per byte after {point.seconds:.1f} s")
    return point


def figures(contest: Contest, entrants: Entrants) -> dict[str, Any]:
    """What a finished race shows."""
    stock, peak, recipe = min(entrants.stocks, key=best_bits), median(entrants.peaks), contest.recipe
    stock_bits, vocab_size = best_bits(stock), stock.material.vocab_size
    at_peak = peak * 1e9 / recipe.training_flops_per_token(vocab_size)
    ours_at_peak = peak * 1e9 / network_of(recipe, vocab_size).training_flops_per_token(recipe.context)
    ours = of_contender(entrants.ours, stock_bits, ours_at_peak)
    compiled = min(entrants.compiled, key=best_bits, default=None)
    return {
        "stock": of_contender(stock, stock_bits, at_peak),
        "compiled": of_contender(compiled, stock_bits, at_peak) if compiled else None,
        "ours": ours,
        "peers": [of_contender(each, stock_bits, at_peak) for each in (*entrants.stocks, *entrants.compiled)],
        "trainings": [asdict(point) for point in entrants.trainings],
        "ratio_to_stock": entrants.ours.tokens_per_second / stock.tokens_per_second,
        "seconds_to_stock_loss": seconds_to(entrants.trainings, stock_bits),
        "matrix_peak_gflops": peak,
        "matrix_peak_share": ours["matrix_peak_share"],
    }


def best_bits(contender: Contender) -> float:
    """Bits per byte at the best of its looks: where many passes spoil it, it would have been kept from there."""
    return min(point.bits_per_byte for point in contender.curve)


def of_contender(contender: Contender, stock_bits: float, at_peak: float) -> dict[str, Any]:
    """The figures of one; at the matrix peak it would learn from `at_peak` tokens a second."""
    return {
        "name": contender.name,
        "tokens_per_second": contender.tokens_per_second,
        "bits_per_byte": best_bits(contender),
        "seconds_to_stock_loss": seconds_to(contender.curve, stock_bits),
        "matrix_peak_share": contender.tokens_per_second / at_peak,
        "peak_memory_bytes": contender.peak_memory_bytes,
        "ready_seconds": contender.ready_seconds,  # measuring and planning, or compiling: on no clock in the race
        "curve": [asdict(point) for point in contender.curve],
    }


def cold_kernels_seconds(contest: Contest, material: Material) -> float:
    """How much longer the first position takes where no kernel was compiled before."""
    model = network_of(contest.recipe, material.vocab_size)
    shapes = [(contest.recipe.context, 1)]
    took = []
    with tempfile.TemporaryDirectory(prefix="cllm-bench-") as empty:
        for environment in ({**worker_environment(), "NUMBA_CACHE_DIR": empty}, worker_environment()):
            with Nursery([Ours.module], environment) as nursery, Sphere(nursery, Ours.module, 1) as sphere:
                sphere.call_one("ready")
                began = time.perf_counter()
                measured(sphere, model, contest.engine.dtype, shapes, OurRecipe())
                took.append(time.perf_counter() - began)
    cold, warm = took
    return cold - warm
