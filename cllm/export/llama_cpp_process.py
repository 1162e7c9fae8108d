"""The process that runs an export in llama.cpp (see `runtimes.py`).

It uses llama.cpp's server over a Unix socket in the process's own folder: no network, and no access by other users.
"""

import http.client
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import xllamacpp

from cllm.export.tensor_names import Array

SOCKET = "llama.sock"  # relative to the current folder: an absolute path can exceed the length limit of socket names


class Connection(http.client.HTTPConnection):
    """An HTTP connection over the Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


def start_server(export: str, **overrides: Any) -> Any:
    """Start a server of the model, with `overrides` of llama.cpp's parameters; it runs as long as the result lives.

    Keys and values are f32 and flash attention is off. By default they are f16, and log-probabilities of an f32 model
    differ by 4e-3 instead of 6e-5 (libuv, 4 x 256, 2026-11-27), an error of llama.cpp and not of the file.
    """
    params: Any = xllamacpp.CommonParams()
    params.model.path = export
    params.hostnames = [SOCKET]
    params.n_ctx = 0  # the model's own context length
    params.n_parallel = params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_gpu_layers = 0
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.warmup = params.fit_params = params.ui = False
    params.offline = True
    params.verbosity = 0
    for name, value in overrides.items():
        setattr(params, name, value)
    return xllamacpp.Server(params)


def post(path: str, **body: Any) -> dict[str, Any]:
    """Return the server's JSON response. Raises RuntimeError with the server's message on an error status."""
    connection = Connection("llama.cpp")
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    found: dict[str, Any] = json.loads(response.read())
    connection.close()
    if response.status != 200:
        raise RuntimeError(found["error"]["message"])
    return found


def greedy_step(path: str, vocab_size: int, **prompt: Any) -> tuple[int, Array, int]:
    """Return the most probable token after a prompt, log-probabilities (V,) float32, and the prompt's token count.

    llama.cpp returns no log-probabilities if the token ends inside a character: they are all -inf then.
    """
    found = post(path, n_predict=1, temperature=0, n_probs=vocab_size, return_tokens=True, **prompt)
    log_probs = np.full(vocab_size, -np.inf, np.float32)
    for step in found.get("completion_probabilities", []):
        log_probs[[each["id"] for each in step["top_logprobs"]]] = [each["logprob"] for each in step["top_logprobs"]]
    return found["tokens"][0], log_probs, found["tokens_evaluated"]


def generate(prompt: list[int], max_tokens: int, vocab_size: int) -> tuple[list[int], list[Array]]:
    """Decode `max_tokens` greedily; return the ids and, for each, the log-probabilities (V,) it was chosen from."""
    generated: list[int] = []
    scores = []
    for _ in range(max_tokens):
        token, log_probs, _ = greedy_step("/completion", vocab_size, prompt=[*prompt, *generated])
        generated.append(token)
        scores.append(log_probs)
    return generated, scores


def main() -> None:
    export, folder = sys.argv[1], Path(sys.argv[2])
    os.chdir(folder)
    inputs = json.loads(Path("input.json").read_text())
    server = start_server(export)
    ids = [post("/tokenize", content=text, parse_special=False)["tokens"] for text in inputs["texts"]]
    texts = [post("/detokenize", tokens=each)["content"] for each in ids]
    lengths = inputs["max_tokens"], inputs["vocab_size"]
    answers = [generate(prompt, *lengths) for prompt in inputs["prompts"]]
    around = {"input_prefix": inputs["prefix"], "input_suffix": inputs["suffix"]}
    _, answers[-1][1][0], num_infill_tokens = greedy_step(
        "/infill", inputs["vocab_size"], **around
    )  # llama.cpp builds this prompt itself
    scores = {str(index): np.stack(scores) for index, (_, scores) in enumerate(answers)}
    output = {
        "version": xllamacpp.__version__,
        "ids": ids,
        "texts": texts,
        "generated": [generated for generated, _ in answers],
        "num_infill_tokens": num_infill_tokens,
    }
    Path("output.json").write_text(json.dumps(output))
    safetensors.numpy.save_file(scores, "scores.safetensors")
    del server


if __name__ == "__main__":
    main()
