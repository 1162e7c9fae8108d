"""Fixed prompts that a trained model completes, by language.

Each is the beginning of a construct that most repositories of its language have at the top level, so that the first
complete construct of a completion can be checked. A prompt ends at the end of a pre-token or with the space that a
user would type. Prompts from the repository itself are left out, since they would measure recall.
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
    """Return the prompts of a language, named as in the corpus; empty if the language has none."""
    return PROMPTS.get(language, ())
