# SPDX-License-Identifier: Apache-2.0
"""What must not stand inside the fence, found on the syntax tree: whatever could differ between two members.

Rules, each with the name its finding carries:
1. `float`: no float or complex literal, no true division, no call of `float` or `complex`; amounts are integers.
2. `import`: nothing of the standard library that reads a clock, chance, the disk, the network, the locale, a process
   or a Unicode table; of other packages only msgspec and nacl.
3. `call`: no `hash()`, `id()`, `open()`, `print()`, `input()`, `eval()`, `exec()`, `compile()`, `__import__()`.
4. `set`: no order taken from a set, by a loop, a comprehension, unpacking, `list`, `tuple`, `join`, `pop` and the like.
   `sorted`, `len`, `min`, `max`, `sum`, `any`, `all` of the set itself and building another set are safe.
5. `global`: no `global` statement: nothing is remembered outside the store.

Not seen: a set that arrives by a parameter without annotation, an attribute or a call; types and review have to.
Source: style.md "Determinism"; leanSpec, whose vectors once differed by set order.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGES_ALLOWED: Final = frozenset({"msgspec", "nacl", "vervain"})
IMPORTS_FORBIDDEN: Final = frozenset(
    "asyncio atexit builtins calendar concurrent contextvars ctypes datetime decimal email fcntl fileinput gc getpass "
    "gettext glob http importlib inspect io json locale logging mmap multiprocessing numbers os pathlib pickle "
    "platform pwd queue random resource sched secrets select selectors shelve shutil signal site socket socketserver "
    "sqlite3 ssl stat statistics subprocess sys syslog tempfile threading time timeit tracemalloc unicodedata urllib "
    "uuid warnings weakref zoneinfo".split()
)
CALLS_FORBIDDEN: Final = frozenset(
    {"__import__", "breakpoint", "compile", "eval", "exec", "hash", "id", "input", "open", "print"}
)
FLOAT_CALLS: Final = frozenset({"complex", "float"})
ORDER_TAKERS: Final = frozenset(
    {"dict", "enumerate", "filter", "iter", "list", "map", "next", "reversed", "tuple", "zip"}
)
SET_MAKERS: Final = frozenset({"frozenset", "set"})
SET_METHODS: Final = frozenset({"difference", "intersection", "symmetric_difference", "union"})
SET_OPERATORS: Final = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.Sub)
Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, order=True)
class Finding:
    """A place inside the fence that breaks a rule."""

    path: Path
    line: int
    rule: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.why}"


def findings(path: Path) -> tuple[Finding, ...]:
    """Return every breach of the five rules in one file, sorted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {(node.lineno, rule, why) for node, rule, why in (*_simple_breaches(tree), *_set_breaches(tree))}
    return tuple(sorted(Finding(path, *breach) for breach in found))


def _simple_breaches(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, str, str]]:
    """Yield the breaches that one node shows by itself."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() | complex()):
                yield node, "float", f"the literal {node.value!r}"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node, "float", "true division; use // on integers"
            case ast.Global():
                yield node, "global", "a global statement"
            case ast.Call(func=ast.Name(id=name)) if name in CALLS_FORBIDDEN:
                yield node, "call", f"{name}()"
            case ast.Call(func=ast.Name(id=name)) if name in FLOAT_CALLS:
                yield node, "float", f"{name}()"
            case ast.Import():
                yield from ((node, "import", name.name) for name in node.names if _is_forbidden(name.name))
            case ast.ImportFrom(module=str(name)) if _is_forbidden(name):
                yield node, "import", name
            case _:
                pass


def _is_forbidden(module: str) -> bool:
    """Tell whether the fence may not import this module."""
    top = module.split(".")[0]
    return top in IMPORTS_FORBIDDEN or (top not in sys.stdlib_module_names and top not in PACKAGES_ALLOWED)


def _set_breaches(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, str, str]]:
    """Yield each place that takes an order from a set, scope by scope."""
    outer = _set_names(tree, frozenset())
    for scope in ast.walk(tree):
        if isinstance(scope, Scope):
            names = outer if scope is tree else _set_names(scope, outer)
            for node in _own_nodes(scope):
                yield from ((at, "set", "an order is taken from a set; sort it first") for at in _ordered(node, names))


def _own_nodes(scope: Scope) -> Iterator[ast.AST]:
    """Yield the nodes of a scope without those of the functions and classes inside it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Scope):
            waiting.extend(ast.iter_child_nodes(node))


def _set_names(scope: Scope, outer: frozenset[str]) -> frozenset[str]:
    """Return the names that hold a set in this scope: assigned from one, or annotated as one."""
    names = set(outer)
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
        every = (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs)
        names -= {argument.arg for argument in every}
        names |= {argument.arg for argument in every if _is_set_type(argument.annotation)}
    for node in sorted(_own_nodes(scope), key=lambda node: getattr(node, "lineno", 0)):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
            ):
                names = names | {name} if _is_set(value, frozenset(names)) else names - {name}
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                if _is_set_type(annotation) or (value is not None and _is_set(value, frozenset(names))):
                    names.add(name)
            case _:
                pass
    return frozenset(names)


def _is_set_type(annotation: ast.expr | None) -> bool:
    """Tell whether an annotation names a set type, bare or with its element type."""
    base = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(base, ast.Name) and base.id in SET_MAKERS | {"AbstractSet", "MutableSet", "Set"}


def _is_set(node: ast.expr, names: frozenset[str]) -> bool:
    """Tell whether an expression is plainly a set."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name):
            return name in names
        case ast.Call(func=ast.Name(id=name)):
            return name in SET_MAKERS
        case ast.Call(func=ast.Attribute(value=value, attr=method)):
            return method in {*SET_METHODS, "copy"} and _is_set(value, names)
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, SET_OPERATORS):
            return _is_set(left, names) or _is_set(right, names)
        case ast.IfExp(body=body, orelse=other):
            return _is_set(body, names) or _is_set(other, names)
        case _:
            return False


def _ordered(node: ast.AST, names: frozenset[str]) -> Iterator[ast.expr | ast.stmt]:
    """Yield the node when it takes an order from a set."""
    match node:
        case ast.For(iter=source) | ast.AsyncFor(iter=source) if _is_set(source, names):
            yield node
        case ast.ListComp(generators=generators) | ast.DictComp(generators=generators):
            yield from (part.iter for part in generators if _is_set(part.iter, names))
        case ast.GeneratorExp(generators=generators):
            yield from (part.iter for part in generators if _is_set(part.iter, names))
        case ast.Starred(value=value) | ast.YieldFrom(value=value) if _is_set(value, names):
            yield node
        case ast.Assign(targets=[ast.Tuple() | ast.List()], value=value) if _is_set(value, names):
            yield node
        case ast.Call(func=ast.Name(id=taker), args=arguments) if taker in ORDER_TAKERS:
            yield from (argument for argument in arguments if _is_set(argument, names))
        case ast.Call(func=ast.Attribute(attr="join" | "extend" | "fromkeys"), args=arguments):
            yield from (argument for argument in arguments if _is_set(argument, names))
        case ast.Call(func=ast.Attribute(value=value, attr="pop"), args=[]) if _is_set(value, names):
            yield node
        case _:
            pass
