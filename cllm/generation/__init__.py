"""Text generation: encode a prompt, predict the next token, sample.

prompt --> ids --> predictor (network, memory, or both) --> log-probabilities --> sample --> token --+
                       ^                                                                            |
                       +----------------------------------------------------------------------------+
"""

from cllm.generation.completer import Completer
from cllm.generation.completion import Completion
from cllm.generation.predict.prompt import Prompt
from cllm.generation.predict.sampling import SamplingParams

__all__ = ["Completion", "Prompt", "SamplingParams", "Completer"]
