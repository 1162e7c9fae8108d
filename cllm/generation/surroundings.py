"""A file around a cursor: how right it is with a text in the cursor's place, beside how right it can be there.

What it has wrong anyway (macros, a line that is not finished) is found by stopgaps: a text fits if with no little text
in its place the file has fewer errors.
"""

from tree_sitter import Node, Tree

from cllm.generation.stopgaps import AS_A_LINE, IN_PLACE, USUAL
from cllm.syntax.errors import errors_in
from cllm.syntax.grammars import parse_with, parser_for
from cllm.syntax.growing import point_at

BY_LINE = (*USUAL, *(stopgap for stopgap in AS_A_LINE if stopgap not in USUAL))
# What holds constructs one after another: an error in one of them says little of the next.
LISTS = {
    "class_body",
    "class_declaration",
    "declaration_list",
    "export_statement",
    "impl_item",
    "linkage_specification",
}
LISTS |= {"mod_item", "namespace_definition", "preproc_elif", "preproc_else", "preproc_if", "preproc_ifdef"}


class Surroundings:
    """Asks of whole files, 1.4 ms each of one of 33 kB; what stopgaps make of the file is found once."""

    def __init__(self, language: str, before: bytes, after: bytes, last: "Surroundings | None" = None) -> None:
        """`last`: perhaps of the same file, from which the cursor came: its line's stopgaps are used again."""
        self._language, self._before, self._after = language, before, after
        self._line = before.rfind(b"\n") + 1
        self._around: Tree | None = None
        self._is_prepared = False
        is_same = last is not None and last._place == self._place
        self._by_line: list[int] = last._by_line if last is not None and is_same else []
        self._last = last._around_until(before) if last is not None and is_same else None
        self._in_place: list[int] = []
        self._judged: tuple[bytes, Tree | None, int] | None = None  # the last text, the file with it, and its errors

    @property
    def _place(self) -> tuple[str, bytes, bytes]:
        return self._language, self._before[: self._line], self._after

    def prepare(self) -> Tree | None:
        """Parse the file as it is, which spares most of the work of the first question; the tree."""
        if not self._is_prepared:
            self._is_prepared = True
            parser = parser_for(self._language)
            assert parser is not None
            self._around, self._last = parse_with(parser, self._before + self._after, self._last), None
        return self._around

    def _around_until(self, before: bytes) -> Tree | None:
        """The file's tree, if it was parsed, told that the cursor has moved on to the end of `before`."""
        if self._around is None or not before.startswith(self._before):
            return None
        return edited(self._around, self._before + self._after, len(self._before), before + self._after, len(before))

    def fits(self, written: bytes) -> bool:
        """Whether the file with `written` in the cursor's place has no more errors than it must have."""
        tree, found = self._judge(written)
        begin = len(self._before)
        if found == 0 or self._is_beaten(found, len(USUAL)):
            return found == 0
        # Errors elsewhere alone, if those stopgaps have them, too, were there before.
        is_right_here = tree is not None and not has_errors_at(tree.root_node, begin, begin + len(written))
        return is_right_here or not self._is_beaten(found, len(BY_LINE) + len(IN_PLACE))

    def errors_with(self, written: bytes) -> int:
        """Errors of the file with a text in the cursor's place."""
        return self._judge(written)[1]

    def _judge(self, written: bytes) -> tuple[Tree | None, int]:
        """The file with a text in the cursor's place, and its errors: one that takes too long has many."""
        if self._judged is None or self._judged[0] != written:
            tree = self._tree_with(written, len(self._before))
            self._judged = written, tree, errors_in(tree) if tree is not None else len(self._before)
        return self._judged[1:]

    def _is_beaten(self, found: int, most: int) -> bool:
        """Whether with one of the first stopgaps the file has fewer errors."""
        return any(self._errors_by(number) < found for number in range(most))

    def _errors_by(self, number: int) -> int:
        if number < len(BY_LINE):
            if number == len(self._by_line):
                self._by_line.append(self._errors_with(BY_LINE[number], self._line))
            return self._by_line[number]
        if number - len(BY_LINE) == len(self._in_place):
            self._in_place.append(self.errors_with(IN_PLACE[number - len(BY_LINE)]))
        return self._in_place[number - len(BY_LINE)]

    def _errors_with(self, written: bytes, begin: int) -> int:
        tree = self._tree_with(written, begin)
        return errors_in(tree) if tree is not None else len(self._before)

    def _tree_with(self, written: bytes, begin: int) -> Tree | None:
        """The file with a text instead of what lies from a byte on to the cursor."""
        parser, old, around = parser_for(self._language), len(self._before), self._before + self._after
        assert parser is not None
        text, new = self._before[:begin] + written + self._after, begin + len(written)
        if self.prepare() is None:
            return parse_with(parser, text)
        assert self._around is not None
        return parse_with(parser, text, edited(self._around, around, old, text, new, begin))


def edited(tree: Tree, old: bytes, old_end: int, new: bytes, new_end: int, begin: int | None = None) -> Tree:
    """The tree of an old text, told that from a byte on (or the old end) there is something else in a new one."""
    begin, tree = old_end if begin is None else begin, tree.copy()
    points = (point_at(*at) for at in ((new, begin), (old, old_end), (new, new_end)))
    tree.edit(begin, old_end, new_end, *points)
    return tree


def has_errors_at(node: Node, begin: int, end: int) -> bool:
    """Whether there are errors in the constructs, of the innermost list, that a stretch lies in or touches."""
    touching = [child for child in node.children if child.end_byte >= begin and child.start_byte <= end]
    if len(touching) == 1 and touching[0].type in LISTS:
        return has_errors_at(touching[0], begin, end)
    return node.is_error or any(child.has_error for child in touching)
