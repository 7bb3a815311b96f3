"""Run notebooks in Jupyter and write each as a notebook and as a page: python notebooks/render.py FOLDER [NAME ...]

The notebooks are Python files in Databricks' format, so Databricks opens them as they are; Jupyter opens what this writes. They
run one after the other in one kernel, which has the lake of the environment (SMALLCAPS_LAKE) and one Spark session.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import v4

FOLDER = Path(__file__).parent
HEADER, SEPARATOR, MAGIC = "# Databricks notebook source\n", "\n# COMMAND ----------\n", "# MAGIC"
SECONDS = 1800
"""That a cell may take."""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
pre {{ font-size: 13px; overflow-x: auto; background: #f6f6f4; padding: .6rem .8rem; border-radius: 4px }}
table {{ border-collapse: collapse; font-size: 13px }} td, th {{ padding: .15rem .6rem; text-align: right; border: 0 }}
tr:nth-child(even) {{ background: #f6f6f4 }} img {{ max-width: 100% }} .anchor-link {{ display: none }}
</style></head><body>{body}</body></html>
"""


def cells(name: str) -> list[nbformat.NotebookNode]:
    """The cells of a notebook in Databricks' format: text where each line is magic of `%md`, else code."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    if not text.startswith(HEADER):
        raise ValueError(f"{name}.py is no Databricks notebook: its first line is not {HEADER.strip()!r}.")
    return [_cell(part.strip("\n")) for part in text.removeprefix(HEADER).split(SEPARATOR)]


def _cell(part: str) -> nbformat.NotebookNode:
    lines = part.split("\n")
    if not all(line.startswith(MAGIC) for line in lines):
        return v4.new_code_cell(part)
    text = [line.removeprefix(MAGIC).removeprefix(" ") for line in lines]
    return v4.new_markdown_cell("\n".join(text).removeprefix("%md").strip("\n"))


def names() -> list[str]:
    """The notebooks that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.name != Path(__file__).name)


def render(chosen: list[str], folder: Path) -> None:
    """Run them, and write `folder`/NAME.ipynb and .html. Raises CellExecutionError where a cell fails."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [(name, v4.new_notebook(cells=cells(name))) for name in chosen]
    together = v4.new_notebook(cells=[cell for _, notebook in written for cell in notebook.cells])
    NotebookClient(together, timeout=SECONDS, kernel_name="python3").execute()
    page = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    for name, notebook in written:
        for cell in notebook.cells:
            # What libraries warn of is of this machine.
            cell["outputs"] = [one for one in cell.get("outputs", []) if one.get("name") != "stderr"]
        nbformat.write(notebook, folder / f"{name}.ipynb")
        body, _ = page.from_notebook_node(notebook)
        title = name.replace("_", " ").capitalize()
        (folder / f"{name}.html").write_text(PAGE.format(title=title, body=body), encoding="utf-8")
        print(f"{folder / name}.html")


if __name__ == "__main__":
    render(sys.argv[2:] or names(), Path(sys.argv[1]))
