# SPDX-License-Identifier: Apache-2.0
"""Draws `benchmarks/results.json` as `docs/figures.svg` with its table twin `docs/figures.md`."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.figures import RESULTS, SMALLER_IS_BETTER

DOCS = Path(__file__).parent.parent / "docs"
ROW, LEFT, WIDTH, SCALE_MAX = 34, 210, 360, 4.0


def drawing(rows: list[dict[str, object]]) -> str:
    """Return an SVG of each figure's ratio to its floor or peer; the line at 1 is the floor."""
    shown = [row for row in rows if row["ratio"]]
    height = ROW * len(shown) + 60
    at_floor = LEFT + WIDTH / SCALE_MAX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 170}" height="{height}" role="img" '
        'font-family="sans-serif" font-size="13" aria-labelledby="title">',
        '<title id="title">Measured figures against their floors; the same numbers stand in figures.md</title>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<line x1="{at_floor}" x2="{at_floor}" y1="14" y2="{height - 34}" stroke="#1d3557" stroke-dasharray="4 3"/>',
        f'<text x="{at_floor}" y="{height - 16}" text-anchor="middle" fill="#1d3557">floor</text>',
    ]
    for number, row in enumerate(shown):
        ratio = float(str(row["ratio"]))
        y = 20 + ROW * number
        width = max(2.0, min(ratio, SCALE_MAX) / SCALE_MAX * WIDTH)
        colour = "#2a7f62" if ratio >= 1 else "#b3261e"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(str(row["name"]))}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.0f}" height="20" fill="{colour}"/>')
        words = f"{row['value']:,} {row['unit']} ({ratio:.2f}x)"
        parts.append(f'<text x="{LEFT + width + 6:.0f}" y="{y + 15}">{escape(words)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def table(rows: list[dict[str, object]]) -> str:
    """Return the same numbers as a page with a table."""
    lines = [
        "# Figures",
        "",
        "Written by `make bench`; medians; more than 1 in the last column is better than the floor.",
        "",
        "![Measured figures against their floors](figures.svg)",
        "",
        "| name | value | floor or peer | ratio |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        against = row.get("floor") or row.get("peer") or ""
        bound = "at most" if row["unit"] in SMALLER_IS_BETTER else "at least"
        asked = f"{bound} {against:,} {row['unit']}" if against else ""
        lines.append(f"| `{row['name']}` | {row['value']:,} {row['unit']} | {asked} | {row['ratio'] or ''} |")
    machines = sorted({f"{row['machine']} ({str(row['when'])[:10]})" for row in rows})
    return "\n".join([*lines, "", "Machines: " + "; ".join(machines) + ".", ""])


def main() -> None:
    """Write both."""
    rows = json.loads(RESULTS.read_text())
    (DOCS / "figures.svg").write_text(drawing(rows))
    (DOCS / "figures.md").write_text(table(rows))


if __name__ == "__main__":
    main()
