"""From a prompt to text: lay out, predict, draw.

prompt --> ids --> predictor (network, memory, or both) --> log-probabilities --> draw --> token --+
                       ^                                                                          |
                       +--------------------------------------------------------------------------+
"""

from cllm.generation.completion import Completion
from cllm.generation.prompt import Prompt
from cllm.generation.sampling import SamplingParams
from cllm.generation.writer import Writer

__all__ = ["Completion", "Prompt", "SamplingParams", "Writer"]
