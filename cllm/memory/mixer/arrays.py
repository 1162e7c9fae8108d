"""The arrays of a memory that the prediction of a decision needs, in one bundle."""

from typing import NamedTuple

from cllm.jit.compiled import Array
from cllm.memory.mixer.state import ContextState, MixerState, PredictionTrace


class MemoryArrays(NamedTuple):
    """A memory's trained state, working buffers, and text.

    `text` (N,) uint8 and its `token_marks` (N,) uint8 (`decisions`). The journal and the trie are not among them: in a
    call between kernels each array costs time, and a search calls `predict_p_one` for every decision.
    """

    state: MixerState
    context_state: ContextState
    trace: PredictionTrace
    text: Array
    token_marks: Array
