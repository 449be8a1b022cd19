"""The sixteen notebooks: names and questions of README.md, what each needs of its own first cell.

From these three things are made for the site: the list, the map, and, where the repository has an
address, the badges.
"""

import html
import json
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

ROW = re.compile(r"^\| \[(\d\d) ([^\]]+)\]\((notebooks/\S+\.ipynb)\) \| (.+) \|$", re.MULTILINE)
NEEDS = re.compile(r"\*\*You need\*\*(.*?)(?:;|\. |\.\n|\n\n)", re.DOTALL)  # its first clause
LANE, LINE, RADIUS, NAMES = 20, 34, 10.5, 150  # of the map: between lanes, between rows, of a node


class Notebook(NamedTuple):
    """One row of the series; `needs` are the numbers of other notebooks."""

    number: str
    name: str
    path: str
    question: str
    needs: tuple[str, ...]


def read_series(root):
    """Return the notebooks in the order of README.md, which is that of their numbers."""
    rows = ROW.findall((Path(root) / "README.md").read_text(encoding="utf8"))
    series = []
    for number, name, path, question in rows:
        cells = json.loads((Path(root) / path).read_text(encoding="utf8"))["cells"]
        clause = NEEDS.search("".join(cells[0]["source"]) + "\n\n")[1]
        needs = tuple(sorted(re.findall(r"\[(\d\d)\]\(\d\d_", clause)))
        series.append(Notebook(number, name, path, question, needs))
    return series


def badges(repository, path):
    """Return links that open a notebook in Colab and Binder; none where there is no address."""
    if not repository:
        return ""
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/{path}"
    binder = f"https://mybinder.org/v2/gh/{repository}/main?labpath={quote(path, safe='')}"
    return " ".join(
        f'<a class="badge" href="{address}">{host}</a>'
        for host, address in (("Colab", colab), ("Binder", binder))
    )


def list_notebooks(series, repository):
    """Return the series as a list in Markdown: name, question, what it needs, badges."""
    paths = {book.number: book.path for book in series}
    lines = []
    for book in series:
        needs = ", ".join(f"[{n}]({paths[n]})" for n in book.needs)
        line = f"- **[{book.number} {book.name}]({book.path})** {book.question}"
        line += f" *Needs* {needs}." if needs else ""
        lines.append(f"{line} {badges(repository, book.path)}".rstrip())
    return "\n".join(lines)


def direct_needs(series):
    """Return what each notebook needs, without what another of its needs needs anyway."""
    before = {}
    for book in series:
        before[book.number] = set(book.needs).union(*(before[n] for n in book.needs))
    return {
        book.number: [n for n in book.needs if not any(n in before[m] for m in book.needs)]
        for book in series
    }


def choose_lanes(series, needs):
    """Return a lane for each notebook: right of what it needs, where no other line runs."""
    row = {book.number: i for i, book in enumerate(series)}
    last = {
        number: max([row[m] for m in row if number in needs[m]] + [row[number]]) for number in row
    }
    lanes = {}
    for number in row:
        lane = max((lanes[n] + 1 for n in needs[number]), default=0)
        while any(lanes[n] == lane and last[n] >= row[number] for n in lanes):
            lane += 1
        lanes[number] = lane
    return lanes


def draw_map(series):
    """Return the prerequisites as an SVG: a line leads from a notebook down to those it serves."""
    needs = direct_needs(series)
    lanes = choose_lanes(series, needs)
    x = {number: 14 + LANE * lane for number, lane in lanes.items()}
    y = {book.number: LINE * (i + 0.5) for i, book in enumerate(series)}
    names, width = max(x.values()) + 24, max(x.values()) + 24 + NAMES
    trunks, halos, branches, nodes = [], [], [], []
    for book in series:
        node_x, node_y, page = x[book.number], y[book.number], book.path.replace(".ipynb", ".html")
        for parent in needs[book.number]:
            bend = node_y - 8
            trunks.append(f"M{x[parent]} {y[parent]}V{bend}")
            halos.append(f"M{x[parent] + 8} {node_y}H{node_x}")
            branches.append(f"M{x[parent]} {bend}q0 8 8 8H{node_x}")
        nodes.append(
            f'<a href="{page}"><rect y="{node_y - LINE / 2}" width="{width}" height="{LINE}"/>'
            f'<circle cx="{node_x}" cy="{node_y}" r="{RADIUS}"/>'
            f'<text class="number" x="{node_x}" y="{node_y + 4}">{book.number}</text>'
            f'<text x="{names}" y="{node_y + 4}">{html.escape(book.name)}</text></a>'
        )
    return (
        f'<svg class="series-map" viewBox="0 0 {width} {LINE * len(series)}" role="group"'
        f' aria-label="Which notebook needs which; the list below says the same in words">'
        f'<path d="{"".join(trunks)}"/><path class="halo" d="{"".join(halos)}"/>'
        f'<path d="{"".join(branches)}"/>{"".join(nodes)}</svg>'
    )
