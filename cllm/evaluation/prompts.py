"""The prompts that a learned model is asked to go on from, by language.

Each is the beginning of a construct that most repositories of its language hold at the top level, so that the first
complete construct of a completion can be judged. A prompt ends where a tokenizer's pretoken ends or with the blank
that a person would have typed. Left out: prompts cut from the repository itself, which measure recall and not this.
"""

PROMPTS: dict[str, tuple[str, ...]] = {
    "C": ("int main", "struct", "#include", "void function"),
    "C++": ("int main", "class ", "#include", "template <typename T>\n", "namespace "),
    "Go": ("func ", "type ", "import ", "func main"),
    "JSON": ("{", "["),
    "Java": ("import ", "public class ", "public interface ", "package "),
    "JavaScript": ("function ", "class ", "import ", "export "),
    "Python": ("def ", "class ", "import ", "if __name__"),
    "Rust": ("fn main", "pub fn ", "struct ", "use ", "impl "),
    "Shell": ("if [ ", "for ", "case ", "export "),
    "TSX": ("import ", "export function ", "export default ", "const "),
    "TypeScript": ("function ", "interface ", "import ", "export "),
}


def prompts_for(language: str) -> tuple[str, ...]:
    """The prompts of a language by the name that a repository's statistics give it; empty for one without an entry."""
    return PROMPTS.get(language, ())
