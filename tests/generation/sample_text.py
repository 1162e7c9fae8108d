"""The text on which the tokenizer and the memory of these tests are trained."""

from cllm.generation.predict.network import Network
from cllm.generation.predict.sequence import NetworkSequence
from cllm.model.transformer import Transformer
from cllm.tokenizer import Tokenizer

TEXT = "".join(f"int main_{i % 5}(void) {{ return {i % 7}; }}  // größer\n" for i in range(40))
TOKENIZER = Tokenizer.train([TEXT.encode()], 320)


def compiled_network(transformer: Transformer) -> Network:
    """The network with the weights of the reference."""
    weights = {name: weight.detach().numpy() for name, weight in transformer.named_parameters()}
    return Network(transformer.config, weights)


def prefilled(network: Network, prompt: list[int]) -> NetworkSequence:
    """A sequence after the prefill of a prompt."""
    sequence = NetworkSequence(network)
    assert list(sequence.prefill(prompt)) == []
    return sequence
