"""The time that a run keeps for the stages after its training.

They take what is needed, and leave out what there is no time for: documents that the memory would be trained on, and
held-out files of the scorecard, which is last.
"""

from dataclasses import dataclass

from cllm.corpus import Corpus
from cllm.stages.job import Job
from cllm.stages.memory_plan import ALONE_BYTES_PER_SECOND, WITH_NETWORK_BYTES_PER_SECOND, MemoryPlan

# Time for the scorecard, on a 2-core machine: processes start in 4 s, the prompts take 4 s, the decoding speed 4 s; 2 s
# are a margin. On EPYC Zen 3 libuv's 378 KB took 43 s in total (2026-11-25), on Zen 4 20 s, on Zen 5 18 s.
SCORECARD_SECONDS = 14.0
SCORED_BYTES_PER_SECOND = 8_000  # and worker
SCORECARD_SHARE = 0.2  # maximum, of the budget: if it is exceeded, a sample of the held-out files is scored
LOAD_SECONDS = 2.0  # to load the network into the memory's process
SAVE_SECONDS, SAVED_BYTES_PER_SECOND = 3.0, 4_000_000  # to index the memory's text and save the memory
UPDATE_SECONDS = 3.0  # to index the held-out files, and save the update twice
UPDATE_SHARE = 0.1  # maximum, of the budget, to train the memory on the held-out files


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """Seconds of each stage after the training: the memory with the network, its save, its update, the scorecard."""

    with_network: float
    save: float
    update: float
    scorecard: float

    @property
    def total(self) -> float:
        return self.with_network + self.save + self.update + self.scorecard


def reserve_for(job: Job, corpus: Corpus, plan: MemoryPlan, speed: float = 1.0) -> Reserve:
    """The reserve of a run; `speed`: of this machine, relative to that of the constants."""
    train, val = corpus.train, corpus.val
    val_bytes = sum(document.bytes for document in val)
    with_network_bytes = sum(train[number].bytes for number in plan.with_network)
    scorecard = SCORECARD_SECONDS + val_bytes / (SCORED_BYTES_PER_SECOND * job.num_workers)
    return Reserve(
        with_network=(LOAD_SECONDS + with_network_bytes / (WITH_NETWORK_BYTES_PER_SECOND * job.num_workers)) / speed,
        save=(SAVE_SECONDS + sum(document.bytes for document in train) / SAVED_BYTES_PER_SECOND) / speed,
        update=UPDATE_SECONDS / speed
        + min(UPDATE_SHARE * job.budget_seconds, val_bytes / ALONE_BYTES_PER_SECOND / speed),
        scorecard=min(SCORECARD_SHARE * job.budget_seconds, scorecard / speed),
    )
