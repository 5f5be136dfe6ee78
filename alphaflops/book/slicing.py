"""What a line of a notebook depends on: the statements before it that its value can come from.

A chapter's cells are straight: they define no functions. So the statements behind a value are found by going backwards
through the names that are used, as Weiser's program slicing does (IEEE Trans. Softw. Eng. 10(4), 1984). Where it cannot
be told whether a statement matters, it counts.
"""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SIMPLE = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom)
"""Statements that surely give their names a new value; others (loops, branches) may."""


@dataclass(frozen=True)
class Statement:
    """One statement of a cell.

    Attributes
    ----------
    cell : int
        The cell's number.
    first, last : int
        Its lines in the cell, from 1.
    uses : frozenset of str
        Names whose value it reads.
    binds : frozenset of str
        Names that surely have a new value after it.
    changes : frozenset of str
        Names whose value may be another after it.
    glues : frozenset of str or None
        Names of the numbers that it glues; None if they cannot be told from the text.
    """

    cell: int
    first: int
    last: int
    uses: frozenset[str]
    binds: frozenset[str]
    changes: frozenset[str]
    glues: frozenset[str] | None


def statements(cells: Mapping[int, str]) -> list[Statement]:
    """Split cells, by number, into statements, in the order of the cells.

    Raises
    ------
    SyntaxError
        If a cell holds more than plain Python.
    """
    return [_statement(cell, node) for cell, source in cells.items() for node in ast.parse(source).body]


def _statement(cell: int, node: ast.stmt) -> Statement:
    nodes = list(ast.walk(node))
    inner = {id(name) for n in nodes if isinstance(n, COMPREHENSIONS) for g in n.generators for name in ast.walk(g)}
    names = [n for n in nodes if isinstance(n, ast.Name)]
    stored = {n.id for n in names if isinstance(n.ctx, ast.Store) and id(n) not in inner}
    for n in nodes:
        if isinstance(n, ast.Import | ast.ImportFrom):
            stored |= {alias.asname or alias.name.partition(".")[0] for alias in n.names}
    parts = [_root(n) for n in nodes if isinstance(n, ast.Attribute | ast.Subscript) and isinstance(n.ctx, ast.Store)]
    changed = {*parts, _receiver(node)} - {""}
    simple = isinstance(node, SIMPLE)
    return Statement(
        cell,
        node.lineno,
        node.end_lineno or node.lineno,
        frozenset({n.id for n in names if isinstance(n.ctx, ast.Load)} | changed),
        frozenset(stored if simple else ()),
        frozenset(changed if simple else stored | changed),
        _glued(nodes),
    )


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _receiver(node: ast.stmt) -> str:
    """Name whose method a statement calls for its effect, as in ``names.append(x)``."""
    call = node.value if isinstance(node, ast.Expr) else None
    return _root(call.func) if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else ""


def _glued(nodes: Iterable[ast.AST]) -> frozenset[str] | None:
    calls = [n for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "glue"]
    firsts = [call.args[0] for call in calls if call.args]
    texts = [first.value for first in firsts if isinstance(first, ast.Constant) and isinstance(first.value, str)]
    return frozenset(texts) if len(texts) == len(calls) else None


def behind(told: Sequence[Statement], targets: Iterable[int]) -> set[int]:
    """Give the places in a list of statements of the `targets` and of all that these can depend on."""
    goals = set(targets)
    wanted: set[str] = set()
    found: set[int] = set()
    for place in range(max(goals, default=-1), -1, -1):
        statement = told[place]
        if place in goals or (statement.binds | statement.changes) & wanted:
            found.add(place)
            wanted = (wanted - statement.binds) | statement.uses
    return found
