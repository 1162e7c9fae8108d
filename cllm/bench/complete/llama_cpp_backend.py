"""llama.cpp's backend process: prefill and decoding times by its own clock."""

import os
import tempfile
from functools import lru_cache
from typing import Any

import xllamacpp

from cllm.export.llama_cpp_process import post, start_server
from cllm.spheres.worker import serve


@lru_cache(maxsize=1)
def cached_server(file: str, threads: int) -> Any:
    """Start a server with llama.cpp's defaults for cache and attention, its fastest, and `threads` threads; cached."""
    os.chdir(tempfile.mkdtemp(prefix="cllm-bench-"))  # the folder of its socket
    params = xllamacpp.CommonParams()
    fastest = {name: getattr(params, name) for name in ("cache_type_k", "cache_type_v", "flash_attn_type")}
    cpus: Any = params.cpuparams
    cpus.n_threads = threads
    return start_server(file, **fastest, cpuparams=cpus, cpuparams_batch=cpus)


def decode(file: str, threads: int, prompt: list[int], count: int) -> dict[str, Any]:
    """Decode `count` tokens greedily; return the seconds of prefill and decoding, and the tokens."""
    cached_server(file, threads)
    found = post(
        "/completion",
        prompt=prompt,
        n_predict=count,
        temperature=0,
        return_tokens=True,
        cache_prompt=False,
        ignore_eos=True,
    )
    times = found["timings"]
    return {
        "prefill_seconds": times["prompt_ms"] / 1e3,
        "num_prompt_tokens": times["prompt_n"],
        "decode_seconds": times["predicted_ms"] / 1e3,
        "tokens": found["tokens"],
    }


def main() -> None:
    serve({"decode": decode})
