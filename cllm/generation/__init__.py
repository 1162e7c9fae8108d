"""From a prompt to text: prefill, decode, sample."""

from cllm.generation.completion import Completion, Prompt, complete
from cllm.generation.sampling import SamplingParams

__all__ = ["Completion", "Prompt", "SamplingParams", "complete"]
