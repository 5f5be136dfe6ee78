"""Count the lines of code of the library: not blank, no comment, no docstring. Fails above the limits of its house."""

import ast
import sys
from pathlib import Path

LINES, MODULES, LONGEST = 7500, 90, 300


def code_lines(text: str) -> int:
    """Count the lines of one module that are code."""
    told = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for one in body if isinstance(body, list) else []:
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str):
                told |= set(range(one.lineno, (one.end_lineno or one.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(1 for i, line in lines if line.strip() and not line.lstrip().startswith("#") and i not in told)


if __name__ == "__main__":
    texts = {path: path.read_text("utf-8") for path in sorted(Path("alphaflops").rglob("*.py"))}
    total = sum(map(code_lines, texts.values()))
    long = [f"{path}: {len(text.splitlines())} lines" for path, text in texts.items() if text.count("\n") > LONGEST]
    print(f"{total} lines of code in {len(texts)} modules (at most {LINES} in {MODULES})", *long, sep="\n")
    sys.exit(total > LINES or len(texts) > MODULES or bool(long))
