"""`cllm complete` at the same cursor of one file in several forms, and prompts with CRLF and half characters."""

import json
import os
from pathlib import Path
from typing import Any

from commandline import Cllm, source

from cllm.corpus.text_form import TextForm

FORMS = {
    "crlf": TextForm(newline=b"\r\n"),
    "bom": TextForm(has_bom=True),
    "utf16": TextForm(encoding="utf-16-le", has_bom=True, newline=b"\r\n"),
}


def complete(cllm: Cllm, *arguments: str, text: str = "") -> dict[str, Any]:
    done = cllm("complete", "--json", "--max-tokens", "40", *arguments, text=text)
    assert done.returncode in (0, 1), done.stderr  # 1: nothing is missing at the cursor
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_a_file_gets_the_same_completion_in_every_form(trained: Cllm, tmp_path: Path) -> None:
    text = "".join(source(3).splitlines(keepends=True)[:7])

    def completed(name: str, form: TextForm) -> dict[str, Any]:
        (tmp_path / name).mkdir()
        file = tmp_path / name / "new.c"
        file.write_bytes(form.encode_file(text.encode()))
        return complete(trained, "--file", str(file), "--line", "8:1", "--until", "40")

    plain = completed("lf", TextForm())
    (expected,) = plain["completions"]
    assert "\n" in expected["text"] and plain["form"] == {"encoding": "utf-8", "has_bom": False, "newline": "\n"}
    for name, form in FORMS.items():
        found = completed(name, form)
        newline = form.newline.decode()
        assert found["form"] == {"encoding": form.encoding, "has_bom": form.has_bom, "newline": newline}
        assert found["prompt"] == plain["prompt"].replace("\n", newline)
        (completion,) = found["completions"]
        assert completion["text"] == expected["text"].replace("\n", newline)
        for key in ("tokens", "finish_reason", "valid", "novel_share"):
            assert completion[key] == expected[key], key


def test_a_prompt_with_crlf_is_continued_with_crlf(trained: Cllm) -> None:
    prompt = source(3)[:120]
    plain = complete(trained, "--stop", "}", text=f"{prompt}\n")
    found = complete(trained, "--stop", "}", text=f"{prompt}\n".replace("\n", "\r\n"))
    assert found["prompt"] == prompt.replace("\n", "\r\n")
    assert found["completions"][0]["text"] == plain["completions"][0]["text"].replace("\n", "\r\n")


def test_half_a_character_and_a_mark_are_no_text(trained: Cllm, tmp_path: Path) -> None:
    half = complete(trained, os.fsdecode("int read_é".encode()[:-1]))
    assert half == complete(trained, "int read_")
    (tmp_path / "marks.c").write_text('const char *end = "<|endoftext|>",\n  *middle = "<|fim_middle|>";\nint x;\n')
    found = complete(trained, "--file", str(tmp_path / "marks.c"), "--line", "2:4")
    assert found["prompt"].endswith('"<|endoftext|>",\n  *') and len(found["completions"]) == 1
