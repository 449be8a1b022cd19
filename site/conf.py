"""How Sphinx makes the site of what `build.py` has put together; nothing is executed."""

import re

import mamlkit

project, author = "mamlkit", "The mamlkit developers"
copyright = "2026, the mamlkit developers"
release = mamlkit.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
nb_execution_mode = "off"  # the committed outputs are the pages
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
mathjax_path = "tex-svg.js"  # beside the pages: no other host is asked

html_theme = "furo"
html_title = "mamlkit: learn meta-learning"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["keyboard.js"]
html_show_sourcelink = html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
templates_path = ["_templates"]

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"show-inheritance": True}
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

ARGUMENT = re.compile(r"^(\*{0,2}\w+(?:, \w+)*): ")


def list_arguments(app, what, name, obj, options, lines):
    """Make list items of a docstring's running lines `name: what it is`."""
    result = []
    for line in lines:
        if (match := ARGUMENT.match(line)) and (not result or not result[-1].startswith(">>>")):
            if result and result[-1] and not result[-1].startswith(("* ", "  ")):
                result.append("")
            line = f"* **{match[1]}**: {line[match.end() :]}"
        elif result and result[-1].startswith(("* ", "  ")) and line:
            line = f"  {line.strip()}"
        result.append(line)
    lines[:] = result


def setup(app):
    """Tell Sphinx of it."""
    app.connect("autodoc-process-docstring", list_arguments)
