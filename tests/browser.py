"""JupyterLab, or a page without Python, in headless Chromium, for the tests of explorers."""

import json
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
BROWSERS = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
# What Chromium or JupyterLab say in any notebook, with explorers or without.
HARMLESS = "favicon", "ResizeObserver", "net::ERR_INTERNET_DISCONNECTED", "net::ERR_NAME_NOT"


def chromium():
    """The path of a Chromium on this machine, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing of each file."""


@contextmanager
def static(folder):
    """A folder as any web server would serve it; yields its address, ending in a slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@contextmanager
def still_page(address):
    """A page without Python; yields a tab and a list of what went wrong on it.

    That is errors, and requests to another host.
    """
    from playwright.sync_api import sync_playwright

    host, faults = address[: address.index("/", 8) + 1], []
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.set_default_timeout(600_000)  # a busy machine is no failure
        own = host, f"blob:{host}", "data:"
        tab.on("request", lambda r: r.url.startswith(own) or faults.append(r.url))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("console", lambda m: m.type != "error" or _is_harmless(m) or faults.append(m.text))
        tab.goto(address)
        yield tab, faults
        browser.close()


def _is_harmless(message):
    return any(word in message.text + message.location["url"] for word in HARMLESS)


def run_node(program, folder):
    """What a program for node, which may import the folder's scripts, prints as JSON."""
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf8")
    (folder / "program.js").write_text(program, encoding="utf8")
    command = [shutil.which("node"), "program.js"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def lab(folder):
    """A JupyterLab server of the test's own; yields its address and token."""
    token = secrets.token_hex(16)
    options = [
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True", "--ServerApp.allow_root=True",
        "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", "--LabApp.news_url=",
        f"--LabApp.workspaces_dir={folder}/.workspaces",
        f"--LabApp.user_settings_dir={folder}/.settings",
    ]  # fmt: skip
    port = _free_port()
    with _served("jupyterlab", [*options, f"--ServerApp.port={port}"], port, folder, token):
        yield f"http://127.0.0.1:{port}", token


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _served(module, options, port, folder, token=""):
    with (folder / "server.log").open("w", encoding="utf8") as log:
        command = [sys.executable, "-m", module, *options, "--no-browser"]
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for _ in range(1_200):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=2)
                    break
                except urllib.error.HTTPError:
                    break  # it answers
                except OSError:
                    time.sleep(0.5)
            yield
        finally:
            server.terminate()
            server.wait(600)


class Page:
    """One notebook, opened and executed in a browser; `errors` is what its console complained."""

    def __init__(self, browser, server, name):
        address, token = server
        self.errors = []
        self.page = browser.new_page(viewport={"width": 1280, "height": 1100})
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{address}/lab/tree/{name}?token={token}&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=600_000)
        self.page.wait_for_function(
            "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'",
            timeout=600_000,
        )

    def _note(self, message):
        if message.type == "error" and not _is_harmless(message):
            self.errors.append(message.text)

    def run_all(self, timeout=900):
        """Execute every cell and wait for the last."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.wait_for_timeout(500)
        self.page.wait_for_function(
            "window.jupyterapp.shell.currentWidget.content.widgets"
            ".filter(c => c.model.type === 'code').every(c => c.model.executionCount)",
            timeout=1000 * timeout,
        )
        failed = self.page.locator(".jp-RenderedText[data-mime-type*='stderr']").all_inner_texts()
        return [text for text in failed if "Traceback" in text]

    def sentence(self, explorer=0):
        """What the explorer says."""
        return self.figure(explorer).locator("figcaption").inner_text()

    def source(self, explorer=0):
        """The address of its present picture."""
        return self.figure(explorer).locator("img").get_attribute("src")

    def figure(self, explorer=0):
        """An explorer's picture, scrolled to."""
        figure = self.page.locator("figure.mamlkit-picture").nth(explorer)
        figure.scroll_into_view_if_needed()
        return figure

    def changed(self, before, explorer=0, timeout=600_000):
        """Wait until both the sentence and the picture are others than `before`."""
        sentence, source = before
        self.page.wait_for_function(
            "([i, text, src]) => {"
            " const f = document.querySelectorAll('figure.mamlkit-picture')[i];"
            " return f.querySelector('figcaption').innerText !== text"
            " && f.querySelector('img').src !== src; }",
            arg=[explorer, sentence, source],
            timeout=timeout,
        )
        return self.seen(explorer)

    def seen(self, explorer=0):
        """The sentence and the address of the picture."""
        return self.sentence(explorer), self.source(explorer)
