# SPDX-License-Identifier: Apache-2.0
"""What every Python file of ours looks like, checked on its text and syntax tree; each rule returns its findings."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SPDX_LINE: Final = "# SPDX-License-Identifier: Apache-2.0"
VAGUE_NAMES: Final = frozenset({"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"})
UNFINISHED: Final = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
TYPE_CHECKING: Final = "TYPE_" + "CHECKING"
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def head_findings(path: Path) -> tuple[str, ...]:
    """The first line names the licence; then comes the module's docstring."""
    text = path.read_text(encoding="utf-8")
    found = []
    if text.split("\n", 1)[0] != SPDX_LINE:
        found.append("1: the first line is not the SPDX line")
    if ast.get_docstring(ast.parse(text)) is None:
        found.append("2: the module has no docstring")
    return tuple(found)


def docstring_findings(path: Path) -> tuple[str, ...]:
    """Every public class, function and method has a docstring whose first paragraph is a sentence.

    A Protocol's docstring may speak for its bare declarations (`...`), and what it documents need not be said again by
    the class in the same file that keeps it.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {name for node in ast.walk(tree) if _is_protocol(node) for name in _documented(node)}
    return tuple(
        f"{node.lineno}: {node.name} {lack}"
        for node in _public(tree)
        if (lack := _lacks(ast.get_docstring(node))) and not (node.col_offset and node.name in said)
    )


def _documented(node: ast.AST) -> Iterator[str]:
    """Yield the names of the methods of a class that have a docstring."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(child):
            yield child.name


def _lacks(docstring: str | None) -> str:
    """Return what the docstring of a public name lacks, or nothing."""
    if docstring is None:
        return "has no docstring"
    first_paragraph = docstring.strip().split("\n\n")[0].rstrip()
    return "" if first_paragraph.endswith((".", ":", "?", "!", "```")) else "has a first paragraph that is no sentence"


def _public(node: Documented) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the public classes, functions and methods that need a docstring, without what is nested in functions."""
    for child in _statements(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            if not (_is_marked(child) or (_is_declaration(child) and _is_protocol(node))):
                yield child
            if isinstance(child, ast.ClassDef):
                yield from _public(child)


def _is_marked(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a decorator says that the docstring stands elsewhere: on the original, or on another signature."""
    marks = {mark.id if isinstance(mark, ast.Name) else getattr(mark, "attr", "") for mark in node.decorator_list}
    return not marks.isdisjoint({"overload", "override", "setter"})


def _is_declaration(node: ast.AST) -> bool:
    """Tell whether a function's body is `...` alone."""
    match node:
        case (
            ast.FunctionDef(body=[ast.Expr(ast.Constant(value))])
            | ast.AsyncFunctionDef(body=[ast.Expr(ast.Constant(value))])
        ):
            return value is ...
        case _:
            return False


def _is_protocol(node: ast.AST) -> bool:
    """Tell whether a class names Protocol as a base."""
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    plain = [base.value if isinstance(base, ast.Subscript) else base for base in bases]
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in plain)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a body, also those under `if`, `try` and `with`, which hide no public name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _statements(child)
        elif isinstance(child, ast.stmt):
            yield child


def undocumented_test_findings(path: Path) -> tuple[str, ...]:
    """Every test says what is given, what is done and what holds: it has a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(
        f"{node.lineno}: {node.name} has no docstring"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and ast.get_docstring(node) is None
    )


def unfinished_findings(path: Path) -> tuple[str, ...]:
    """Nothing is left for later in a remark: it is done, or said in a document."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(f"{number}: an unfinished mark" for number, line in enumerate(lines, 1) if UNFINISHED.search(line))


def way_round_findings(path: Path) -> tuple[str, ...]:
    """No import hides from the contracts: not only for type checkers, not relative, not by a name made at run time."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name == TYPE_CHECKING:
                found.append(f"{node.lineno}: {TYPE_CHECKING}")
            case ast.ImportFrom(level=level, names=names) if level or any(name.name == TYPE_CHECKING for name in names):
                found.append(f"{node.lineno}: a relative import or {TYPE_CHECKING}")
            case ast.Call(
                func=ast.Name(id="__import__") | ast.Attribute(attr="import_module") as function, args=[name, *_]
            ):
                if not (isinstance(name, ast.Constant) and not str(name.value).startswith("vervain")):
                    found.append(f"{function.lineno}: an import by a name made at run time")
            case _:
                pass
    return tuple(found)


def vague_name_findings(path: Path) -> tuple[str, ...]:
    """No file or folder is a drawer."""
    vague = sorted(VAGUE_NAMES.intersection({*path.parts, path.stem}))
    return tuple(f"1: the name {name!r} says nothing" for name in vague)


def foreign_import_findings(path: Path) -> tuple[str, ...]:
    """Every import is of the standard library."""
    imported = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported += [(node.lineno, name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append((node.lineno, "." * node.level + (node.module or "")))
    return tuple(
        f"{line}: {name} is not of the standard library"
        for line, name in imported
        if name.split(".")[0] not in sys.stdlib_module_names
    )
