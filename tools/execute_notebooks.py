"""Execute notebooks in place and keep what a reader should see: `make notebooks`.

Progress bars are reduced to their last state, live widgets to their still pictures, and
everything that differs from run to run without saying anything is dropped.
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
LIVE = "application/vnd.jupyter.widget-view+json"


def execute(path):
    """Run one notebook from top to bottom and write it back."""
    book = nbformat.read(path, as_version=4)
    begun = time.perf_counter()
    client = NotebookClient(
        book,
        timeout=900,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    for cell in book.cells:
        if "outputs" in cell:
            cell.outputs = _joined(cell.outputs)
            for output in cell.outputs:
                _tidy(output)
    book.metadata.pop("widgets", None)
    book.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    book.metadata["language_info"] = {"name": "python"}
    nbformat.write(book, path)
    print(f"{path.relative_to(ROOT)}: {time.perf_counter() - begun:.0f} s", flush=True)


def _tidy(output):
    if output.output_type == "stream":
        # torch built for CUDA says so on a machine without; nothing a reader needs.
        lines = [line for line in output.text.split("\n") if "cpp_extension" not in line]
        output.text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
    if LIVE in output.get("data", {}) and "image/png" in output.data:
        del output.data[LIVE]
        output.metadata.pop(LIVE, None)


def _joined(outputs):
    """Neighbouring pieces of one stream as one piece, blank ones dropped."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and last.output_type == output.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return [o for o in joined if o.output_type != "stream" or o.text.strip()]


def main(paths):
    """Execute the notebooks named, or all of them."""
    books = [Path(p).resolve() for p in paths] or sorted((ROOT / "notebooks").rglob("*.ipynb"))
    for path in books:
        if ".ipynb_checkpoints" not in path.parts:
            execute(path)


if __name__ == "__main__":
    main(sys.argv[1:])
