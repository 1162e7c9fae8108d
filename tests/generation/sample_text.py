"""The text on which the tokenizer and the memory of these tests are trained."""

from cllm.generation.predict.decoder import Decoder
from cllm.generation.predict.sequence import NetworkSequence
from cllm.model.transformer import Transformer
from cllm.tokenizer import Tokenizer

TEXT = "".join(f"int main_{i % 5}(void) {{ return {i % 7}; }}  // größer\n" for i in range(40))
TOKENIZER = Tokenizer.train([TEXT.encode()], 320)


def prefilled(model: Transformer, prompt: list[int], decoder: Decoder | None = None) -> NetworkSequence:
    """A sequence after the prefill of a prompt."""
    network = NetworkSequence(model, decoder)
    assert list(network.prefill(prompt)) == []
    return network
