"""Every link inside the site leads to a page that is there, and to a place on it."""

from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urlsplit


class Page(HTMLParser):
    """The addresses on one page, and the names of places that an address may end in."""

    def __init__(self, path):
        super().__init__()
        self.addresses, self.places = [], set()
        self.feed(path.read_text(encoding="utf8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src", "poster", "data-src") and value:
                self.addresses.append(value)
            elif name in ("id", "name"):
                self.places.add(value)


def broken_links(folder):
    """Return `page: address` for each address in a folder of HTML that leads nowhere."""
    pages = {path.resolve(): Page(path) for path in sorted(folder.rglob("*.html"))}
    broken = []
    for path, page in pages.items():
        for address in page.addresses:
            if urlsplit(address).scheme or address.startswith("//"):
                continue
            target, place = urldefrag(address)
            target = unquote(target.split("?")[0])
            file = (path.parent / target).resolve() if target else path
            there = file in pages if file.suffix == ".html" else file.is_file()
            if not there or (place and file in pages and unquote(place) not in pages[file].places):
                broken.append(f"{path.relative_to(folder.resolve())}: {address}")
    return broken
