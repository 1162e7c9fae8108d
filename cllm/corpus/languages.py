"""Detect a file's language from its name, or from its `#!` line if the name is unknown.

A table maps extensions and base names to one language each. Ambiguous extensions, which would need a parser, have a
fixed language (a `.h` may be C++ or Objective-C and counts as C; a `.m` counts as Objective-C). A file whose name is
not in the table and whose first line names no known interpreter is `Text`.
"""

import re
from typing import Literal

Kind = Literal["code", "prose", "data"]

_CODE = {
    "Assembly": ".s .asm",
    "C": ".c .h",
    "C#": ".cs .csx",
    "C++": ".cc .cpp .cxx .c++ .hh .hpp .hxx .h++ .inl .ipp .tpp",
    "CMake": ".cmake cmakelists.txt",
    "CSS": ".css .scss .sass .less",
    "CUDA": ".cu .cuh",
    "Clojure": ".clj .cljs .cljc",
    "Dart": ".dart",
    "Dockerfile": ".dockerfile dockerfile containerfile",
    "Elixir": ".ex .exs",
    "Erlang": ".erl .hrl",
    "F#": ".fs .fsi .fsx",
    "Fortran": ".f .for .f77 .f90 .f95 .f03 .f08",
    "GLSL": ".glsl .vert .frag .comp .geom .hlsl .wgsl",
    "Go": ".go",
    "Groovy": ".groovy .gradle jenkinsfile",
    "HCL": ".tf .tfvars .hcl",
    "HTML": ".html .htm .xhtml .jinja .j2 .ejs .hbs",
    "Haskell": ".hs .lhs",
    "Java": ".java",
    "JavaScript": ".js .mjs .cjs .jsx",
    "Julia": ".jl",
    "Kotlin": ".kt .kts",
    "Lisp": ".lisp .cl .el .scm .rkt",
    "Lua": ".lua",
    "M4": ".m4 .ac configure.ac",
    "Make": ".mk .mak makefile gnumakefile makefile.am",
    "Meson": "meson.build meson_options.txt",
    "Nix": ".nix",
    "OCaml": ".ml .mli",
    "Objective-C": ".m .mm",
    "PHP": ".php",
    "Pascal": ".pas .pp .dpr",
    "Perl": ".pl .pm .t",
    "PowerShell": ".ps1 .psm1 .psd1",
    "Protocol Buffers": ".proto",
    "Python": ".py .pyi .pyx .pxd .pyw sconstruct sconscript wscript",
    "R": ".r .rmd",
    "Ruby": ".rb .rake .gemspec rakefile gemfile vagrantfile podfile",
    "Rust": ".rs",
    "SQL": ".sql",
    "Scala": ".scala .sc .sbt",
    "Shell": ".sh .bash .zsh .fish .ksh .bats .bashrc .profile",
    "Solidity": ".sol",
    "Starlark": ".bzl .bazel build workspace",
    "Svelte": ".svelte",
    "Swift": ".swift",
    "Tcl": ".tcl",
    "TypeScript": ".ts .mts .cts .tsx",
    "VHDL": ".vhd .vhdl",
    "Verilog": ".v .sv .svh",
    "Vim script": ".vim .vimrc",
    "Vue": ".vue",
    "Zig": ".zig",
}
_PROSE = {
    "AsciiDoc": ".adoc .asciidoc",
    "Markdown": ".md .markdown .mdx",
    "TeX": ".tex .bib .sty .cls",
    "Texinfo": ".texi .texinfo",
    "Text": ".txt .text",
    "reStructuredText": ".rst",
}
_DATA = {
    "CSV": ".csv .tsv",
    "INI": ".ini .cfg .conf .properties .env .editorconfig .gitconfig",
    "JSON": ".json .jsonc .json5 .jsonl .geojson .webmanifest",
    "SVG": ".svg",
    "TOML": ".toml",
    "XML": ".xml .xsd .xsl .xslt .plist .csproj .vcxproj .props .targets .storyboard .xib .resx",
    "YAML": ".yml .yaml .cff",
}
_KIND_OF: dict[str, Kind] = dict.fromkeys(_CODE, "code")
_KIND_OF |= dict.fromkeys(_PROSE, "prose")
_KIND_OF |= dict.fromkeys(_DATA, "data")
_LANGUAGE_OF = {key: name for table in (_CODE, _PROSE, _DATA) for name, keys in table.items() for key in keys.split()}
_INTERPRETERS = {
    "bash": "Shell",
    "dash": "Shell",
    "fish": "Shell",
    "ksh": "Shell",
    "lua": "Lua",
    "make": "Make",
    "node": "JavaScript",
    "perl": "Perl",
    "php": "PHP",
    "python": "Python",
    "ruby": "Ruby",
    "sh": "Shell",
    "tclsh": "Tcl",
    "zsh": "Shell",
}
MAX_SHEBANG_BYTES = 128
_SHEBANG = re.compile(rb"#![ \t]*(?:\S*/)?([^/\s]+)(?:[ \t]+(?:-\S+[ \t]+)*([^\s/]+))?")


def language_of(path: str, content: bytes = b"") -> str:
    """Language of the file at `path` whose text begins with `content`; `Text` if it is unknown."""
    name = path.rpartition("/")[2].lower()
    suffix = "." + name.rpartition(".")[2]
    found = _LANGUAGE_OF.get(name) or (_LANGUAGE_OF.get(suffix) if suffix != "." + name else None)
    return found or interpreted_language(content) or "Text"


def kind_of(language: str) -> Kind:
    """Kind of a language of the table: `code`, `prose` or `data`."""
    return _KIND_OF[language]


def interpreter(head: bytes) -> str | None:
    """Program of a `#!` line without its version: `#!/usr/bin/env -S python3 -u` is `python`; None if there is none."""
    if not (match := _SHEBANG.match(head[:MAX_SHEBANG_BYTES])):
        return None
    program = match[2] if match[1] == b"env" and match[2] else match[1]
    return program.decode("ascii", "replace").rstrip("0123456789.")


def interpreted_language(head: bytes) -> str | None:
    """Language of a `#!` line's program; None if there is none or it is not known."""
    program = interpreter(head)
    return None if program is None else _INTERPRETERS.get(program)
