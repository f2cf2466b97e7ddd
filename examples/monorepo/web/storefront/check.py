"""Checks what is shown to browsers.

python3 check.py styles FILE.css    braces match; custom properties are declared and used
python3 check.py site FOLDER        tags are closed, ids unique, images have a text, links lead somewhere
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

VOID = {"area", "br", "hr", "img", "input", "link", "meta", "source"}  # tags that are never closed


class Page(HTMLParser):
    """What one page holds: problems, ids and links, each with its line."""

    def __init__(self, text):
        super().__init__()
        self.problems, self.ids, self.links, self._open = [], set(), [], []
        self.feed(text)
        self.close()
        for tag, line in self._open:
            self.problems.append((line, f"<{tag}> is never closed"))

    def handle_starttag(self, tag, attributes):
        line, attributes = self.getpos()[0], dict(attributes)
        if tag not in VOID:
            self._open.append((tag, line))
        if tag == "img" and not attributes.get("alt"):
            self.problems.append((line, "<img> without alt"))
        if "id" in attributes:
            if attributes["id"] in self.ids:
                self.problems.append((line, f"id {attributes['id']} is used twice"))
            self.ids.add(attributes["id"])
        self.links += [(line, attributes[key]) for key in ("href", "src") if key in attributes]

    def handle_endtag(self, tag):
        if self._open and self._open[-1][0] == tag:
            self._open.pop()
        else:
            self.problems.append((self.getpos()[0], f"</{tag}> closes nothing"))


def check_site(folder):
    """All problems of all pages below a folder."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    problems = []
    for path, page in pages.items():
        problems += [f"{path}:{line}: {problem}" for line, problem in page.problems]
        for line, link in page.links:
            if "://" not in link and not leads_somewhere(link, path, pages):
                problems.append(f"{path}:{line}: link to {link} leads nowhere")
    return problems if pages else [f"{folder}: no pages"]


def leads_somewhere(link, path, pages):
    """Whether a relative link's file is there, and its fragment in it."""
    name, _, fragment = link.partition("#")
    target = path.parent / name if name else path
    return target.is_file() and (not fragment or (target in pages and fragment in pages[target].ids))


def check_styles(path):
    """All problems of one style sheet."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    problems = []
    if text.count("{") != text.count("}"):
        problems.append(f"{path}: {text.count('{')} opening braces, {text.count('}')} closing ones")
    declared = set(re.findall(r"(--[\w-]+)\s*:", text))
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    problems += [f"{path}: {name} is used and not declared" for name in sorted(used - declared)]
    problems += [f"{path}: {name} is declared and not used" for name in sorted(declared - used)]
    return problems


def main(what, path):
    """Run one check and print what it found."""
    problems = {"site": check_site, "styles": check_styles}[what](Path(path))
    print("\n".join(problems) if problems else f"{path}: nothing to complain about")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
