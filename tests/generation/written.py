"""The text that these tests' tokenizer and memory have read."""

from cllm.tokenizer import Tokenizer

TEXT = "".join(f"int main_{i % 5}(void) {{ return {i % 7}; }}  // größer\n" for i in range(40))
TOKENIZER = Tokenizer.learn([TEXT.encode()], 320)
