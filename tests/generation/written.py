"""The text that these tests' tokenizer and memory have read."""

from cllm.generation.decoder import Decoder
from cllm.generation.network import NetworkText
from cllm.model.transformer import Transformer
from cllm.tokenizer import Tokenizer

TEXT = "".join(f"int main_{i % 5}(void) {{ return {i % 7}; }}  // größer\n" for i in range(40))
TOKENIZER = Tokenizer.learn([TEXT.encode()], 320)


def behind(model: Transformer, prompt: list[int], decoder: Decoder | None = None) -> NetworkText:
    """A network that has read a prompt."""
    network = NetworkText(model, decoder)
    assert list(network.read(prompt)) == []
    return network
