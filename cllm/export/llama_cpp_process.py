"""The inside of a process that reads an export with llama.cpp (see `runtimes.py`).

llama.cpp's server is spoken to over a socket in the process's own folder, so that nobody else can, and over no network.
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

SOCKET = "llama.sock"  # in the current folder: a whole path may be longer than a socket's name can be


class Connection(http.client.HTTPConnection):
    """HTTP over the socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


def start_server(export: str, **overrides: Any) -> Any:
    """A server of the model, with more of llama.cpp's parameters; it serves as long as this object is kept.

    Keys and values are f32 and attention is written out: as it comes, they are f16, and log-probabilities of an f32
    model are 4e-3 off instead of 6e-5 (libuv, 4 x 256, 2026-11-27), which is llama.cpp's and not the file's.
    """
    params: Any = xllamacpp.CommonParams()
    params.model.path = export
    params.hostnames = [SOCKET]
    params.n_ctx = 0  # the model's own
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
    """The server's answer. RuntimeError: its own words, where it refuses."""
    connection = Connection("llama.cpp")
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    found: dict[str, Any] = json.loads(response.read())
    connection.close()
    if response.status != 200:
        raise RuntimeError(found["error"]["message"])
    return found


def greedy_step(path: str, vocab_size: int, **prompt: Any) -> tuple[int, Array, int]:
    """The likeliest token after a prompt, the log-probabilities of all (V,), and of how many tokens the prompt was.

    Of a token that ends inside a character llama.cpp does not say them: they are -inf then.
    """
    found = post(path, n_predict=1, temperature=0, n_probs=vocab_size, return_tokens=True, **prompt)
    log_probs = np.full(vocab_size, -np.inf, np.float32)
    for step in found.get("completion_probabilities", []):
        log_probs[[each["id"] for each in step["top_logprobs"]]] = [each["logprob"] for each in step["top_logprobs"]]
    return found["tokens"][0], log_probs, found["tokens_evaluated"]


def generate(prompt: list[int], max_tokens: int, vocab_size: int) -> tuple[list[int], list[Array]]:
    """The likeliest tokens after a prompt, one after another, and the log-probabilities by which each was chosen."""
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
    )  # its own prompt, not ours
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
