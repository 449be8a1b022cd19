"""`python site/colab.py`: every notebook begins with a cell that installs mamlkit if it is missing.

Colab opens a notebook alone, without the package and the files beside it. With the address in
repository.txt each notebook gets a cell that fetches both, and does nothing where mamlkit is there;
without an address the cell is taken out. To be run once, when the address is known.
"""

from pathlib import Path

import nbformat

HERE = Path(__file__).parent
ID = "colab"
SOURCE = """\
from importlib.util import find_spec
from pathlib import Path

if not find_spec("mamlkit"):  # in Colab: fetch the repository, and install the package from it
    get_ipython().system("git clone --quiet --depth 1 https://github.com/{repository}")
    get_ipython().run_line_magic("pip", "install --quiet ./{name} anywidget")
if Path("{name}/{folder}").is_dir():  # in Colab, after a restart, too
    get_ipython().run_line_magic("cd", "{name}/{folder}")"""


def change(path, folder, repository):
    """Put the cell into a notebook, or take it out where there is no address."""
    book = nbformat.read(path, as_version=4)
    code = lambda: [cell for cell in book.cells if cell.cell_type == "code"]
    book.cells = [cell for cell in book.cells if cell.id != ID]
    if repository:
        source = SOURCE.format(repository=repository, name=repository.split("/")[1], folder=folder)
        book.cells.insert(book.cells.index(code()[0]), nbformat.v4.new_code_cell(source, id=ID))
    for count, cell in enumerate(code(), start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    nbformat.write(book, path)


def main():
    """Change the series and its solutions as repository.txt says."""
    repository = (HERE / "repository.txt").read_text(encoding="utf8").strip()
    for folder in ("notebooks", "notebooks/solutions"):
        for path in sorted((HERE.parent / folder).glob("[0-9]*.ipynb")):
            change(path, folder, repository)


if __name__ == "__main__":
    main()
