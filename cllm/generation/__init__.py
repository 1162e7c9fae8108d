"""From a prompt to text: lay out, predict, draw.

prompt --> ids --> predictor (network, memory, or both) --> log-probabilities --> draw --> token --+
                       ^                                                                          |
                       +--------------------------------------------------------------------------+
"""

from cllm.generation.completer import Completer
from cllm.generation.completion import Completion
from cllm.generation.predict.prompt import Prompt
from cllm.generation.predict.sampling import SamplingParams

__all__ = ["Completion", "Prompt", "SamplingParams", "Completer"]
