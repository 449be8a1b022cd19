"""What a reader who cannot see a notebook's picture is told instead."""

import ast
import re

HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FIGURE = re.compile(r"<Figure size (\d+)x\d+ with (\d+) Axes>")
WIDE = 1000  # pixels of a figure that a phone does not shrink to its own width
NAMED = "label", "title", "xlabel", "ylabel", "titles", "labels"


def add_alternatives(cells):
    """Give each code cell with a picture the alternative text that MyST-NB looks for.

    An explorer's is its own sentence. A plot's is where it stands and the words that the code
    writes on it; what it shows, the text under it says.
    """
    heading = ""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = [heading, *HEADING.findall(source)][-1]
            continue
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                text = output["metadata"].get("image/png", {}).get("alt")
                match = FIGURE.search("".join(output["data"].get("text/plain", "")))
                width, panels = map(int, match.groups()) if match else (0, 1)
                cell["metadata"]["mystnb"] = {
                    "image": {
                        "alt": text or describe(heading, source, panels),
                        "classes": "plot wide" if width >= WIDE else "plot",
                    }
                }


def describe(heading, source, panels):
    """Return one sentence on a plot: its section, its panels, the words on it."""
    where = f"{panels} panels" if panels > 1 else "Plot"
    words = list(dict.fromkeys(written(source)))
    labels = f", with the words: {'; '.join(words)}" if words else ""
    return f"{where} on “{re.sub(r'[*`$]', '', heading)}”{labels}."


def written(source):
    """Yield the texts that a cell writes on its plot, in order."""
    code = re.sub(r"^[%!].*", "", source, flags=re.MULTILINE)  # what Jupyter alone understands
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            values = [word.value for word in node.keywords if word.arg in NAMED]
            if isinstance(node.func, ast.Attribute) and node.func.attr.startswith("set_"):
                values += node.args[:1] if node.func.attr[4:] in NAMED else []
            yield from (text for value in values for text in constants(value))


def constants(node):
    """Yield the strings of an expression that are words by themselves, not parts of an f-string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if len(re.findall(r"[^\W\d]", node.value)) > 1:
            yield " ".join(node.value.split())
    elif not isinstance(node, ast.JoinedStr | ast.Subscript | ast.Call):
        for child in ast.iter_child_nodes(node):
            yield from constants(child)
