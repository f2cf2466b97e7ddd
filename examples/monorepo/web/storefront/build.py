"""Builds the site: python3 build.py CATALOGUE OUT

Pages are fragments in pages/, put into layout.html. Assets get their content's hash into their name, so that
browsers may keep them for ever: style.css becomes style.3f2a91c0.css, and whoever names it follows.
"""

import hashlib
import html
import json
import re
import string
import sys
from pathlib import Path

TITLE = re.compile(r"<!-- title: (.+) -->\n")
NAMING_ASSETS = {".css", ".mjs"}  # kinds of assets that may name other assets


def build(source, catalogue, out):
    """Write the whole site to `out`; returns the pages written."""
    assets = write_assets(source / "assets", out / "assets")
    layout = string.Template((source / "layout.html").read_text(encoding="utf-8"))
    products = "\n".join(map(product_card, catalogue["products"]))

    written = []
    for page in sorted((source / "pages").glob("*.html")):
        title, body = split_title(page.read_text(encoding="utf-8"), page.name)
        body = string.Template(body).substitute(products=products)
        text = rename(layout.substitute(title=html.escape(title), body=body), assets)
        written.append(out / page.name)
        written[-1].write_text(text, encoding="utf-8")
    return written


def write_assets(source, out):
    """Copy assets under hashed names; returns old name -> new name.

    Those that name other assets come last, since their hash depends on the new names.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = {}
    for asset in sorted(source.iterdir(), key=lambda path: (path.suffix in NAMING_ASSETS, path.name)):
        content = asset.read_bytes()
        if asset.suffix in NAMING_ASSETS:
            content = rename(content.decode(), names).encode()
        digest = hashlib.sha256(content).hexdigest()[:8]
        names[asset.name] = f"{asset.stem}.{digest}{asset.suffix}"
        (out / names[asset.name]).write_bytes(content)
    return names


def rename(text, names):
    """Put the new names of assets wherever a path ends in an old one."""
    for old, new in names.items():
        text = re.sub(rf"(?<=/){re.escape(old)}\b", new, text)
    return text


def split_title(text, name):
    """A page's first line tells its title."""
    match = TITLE.match(text)
    if not match:
        raise SystemExit(f"pages/{name}: the first line must be <!-- title: ... -->")
    return match.group(1), text[match.end() :]


def product_card(product):
    """One product as a list entry."""
    name, sku = html.escape(product["name"]), html.escape(product["sku"], quote=True)
    euros = f"{product['cents'] // 100}.{product['cents'] % 100:02}"
    return f'  <li><b>{name}</b> <span>{euros} €</span> <button data-sku="{sku}">Add</button></li>'


def main(catalogue, out):
    """Build from the current directory."""
    document = json.loads(Path(catalogue).read_text(encoding="utf-8"))
    pages = build(Path(), document, Path(out))
    print(f"{len(pages)} pages with {len(document['products'])} products in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
