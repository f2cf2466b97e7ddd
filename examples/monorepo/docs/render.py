"""Renders the handbook: python3 render.py PAGES [OUT]     (without OUT only the links are checked)

The Markdown that pages may use: headings, paragraphs, lists (- and 1.), fenced code, `code`, **strong**,
*stress* and [links](page.md#heading). A link that leads to no page or no heading is an error with its place.
"""

import html
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
HEADING = re.compile(r"(#{1,3}) (.+)")
ITEM = re.compile(r"(-|\d+\.) (.+)")

LAYOUT = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><link rel="stylesheet" href="style.css"></head>
<body>
{body}
</body>
</html>
"""


class Block(NamedTuple):
    """A piece of a page. `kind` is the HTML tag it becomes: h1, h2, h3, p, ul, ol or pre."""

    kind: str
    line: int  # of its first text line, from 1
    texts: list[str]  # a list's items, otherwise lines


def main(pages, out=None):
    """Check all links; then, if wanted, write the site."""
    paths = sorted(Path(pages).glob("*.md"))
    documents = {path.name: parse(path.read_text(encoding="utf-8")) for path in paths}
    problems = broken_links(documents)
    for problem in problems:
        print(f"{pages}/{problem}")
    if problems:
        return 1
    print(f"{len(documents)} pages, every link leads somewhere")
    if out:
        write_site(documents, Path(out))
        print(f"written to {out}")
    return 0


def parse(text):
    """Cut a page into blocks."""
    blocks, fenced = [], False
    previous = None  # kind of the block that the next line may continue
    for number, line in enumerate(text.splitlines(), start=1):
        heading, item = HEADING.fullmatch(line), ITEM.fullmatch(line)
        if line.startswith("```"):
            fenced = not fenced
            previous = None
            if fenced:
                blocks.append(Block("pre", number + 1, []))
        elif fenced:
            blocks[-1].texts.append(line)
        elif not line.strip():
            previous = None
        elif heading:
            blocks.append(Block(f"h{len(heading[1])}", number, [heading[2]]))
            previous = None
        else:
            kind = ("ul" if item[1] == "-" else "ol") if item else "p"
            if kind != previous:
                blocks.append(Block(kind, number, []))
                previous = kind
            blocks[-1].texts.append(item[2] if item else line)
    return blocks


def broken_links(documents):
    """Links whose page or heading does not exist, as file:line: message."""
    anchors = {
        name: {anchor(block.texts[0]) for block in blocks if block.kind.startswith("h")}
        for name, blocks in documents.items()
    }
    problems = []
    for name, block in ((name, block) for name, blocks in documents.items() for block in blocks):
        for number, text in enumerate(block.texts, start=block.line):
            for _, link in LINK.findall(text) if block.kind != "pre" else ():
                page, _, fragment = link.partition("#")
                page = page or name
                if "://" in link:
                    continue
                if page not in documents:
                    problems.append(f"{name}:{number}: there is no page {page}")
                elif fragment and fragment not in anchors[page]:
                    problems.append(f"{name}:{number}: {page} has no heading #{fragment}")
    return problems


def write_site(documents, out):
    """One HTML file a page, and the style sheet."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy("style.css", out)
    for name, blocks in documents.items():
        title = next(block.texts[0] for block in blocks if block.kind == "h1")
        page = LAYOUT.format(title=html.escape(title), body="\n".join(map(render, blocks)))
        (out / name).with_suffix(".html").write_text(page, encoding="utf-8")


def render(block):
    """One block as HTML."""
    text = "\n".join(block.texts)
    match block.kind:
        case "pre":
            return f"<pre><code>{html.escape(text)}</code></pre>"
        case "p":
            return f"<p>{inline(text)}</p>"
        case "ul" | "ol":
            items = "\n".join(f"  <li>{inline(item)}</li>" for item in block.texts)
            return f"<{block.kind}>\n{items}\n</{block.kind}>"
        case heading:
            return f'<{heading} id="{anchor(text)}">{inline(text)}</{heading}>'


def inline(text):
    """Links, code and stress inside a line. What is inside `code` stays as it is."""
    parts = html.escape(text, quote=False).split("`")
    for index in range(0, len(parts), 2):
        part = LINK.sub(lambda link: f'<a href="{html_name(link[2])}">{link[1]}</a>', parts[index])
        part = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", part)
        parts[index] = re.sub(r"\*(.+?)\*", r"<em>\1</em>", part)
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def html_name(link):
    """Pages link to each other as .md; on the site they are .html."""
    return link if "://" in link else re.sub(r"\.md(?=#|$)", ".html", link)


def anchor(heading):
    """The name by which links find a heading."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
