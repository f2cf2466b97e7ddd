"""What the built site looks like."""

import re
import tempfile
import unittest
from pathlib import Path

import build

CATALOGUE = {"products": [{"sku": "bun-plain", "name": "Salt & Rye", "category": "buns", "cents": 205}]}


class BuildTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = Path(folder.name)
        build.build(Path(), CATALOGUE, self.out)
        self.index = (self.out / "index.html").read_text(encoding="utf-8")

    def test_every_page_is_built(self):
        self.assertEqual(
            sorted(path.name for path in self.out.glob("*.html")),
            sorted(path.name for path in Path("pages").iterdir()),
        )

    def test_products_show_name_and_price(self):
        self.assertIn("<b>Salt &amp; Rye</b> <span>2.05 €</span>", self.index)
        self.assertIn('data-sku="bun-plain"', self.index)

    def test_pages_name_assets_by_their_hash(self):
        name = re.search(r'href="(assets/style\.[0-9a-f]{8}\.css)"', self.index)

        self.assertTrue(name and (self.out / name.group(1)).is_file(), self.index)
        self.assertNotIn("assets/style.css", self.index)

    def test_assets_follow_the_new_names_of_other_assets(self):
        (shop,) = (self.out / "assets").glob("shop.*.mjs")
        (cart,) = (self.out / "assets").glob("cart.*.mjs")

        self.assertIn(f'from "./{cart.name}"', shop.read_text(encoding="utf-8"))

    def test_a_changed_asset_gets_a_new_name(self):
        with tempfile.TemporaryDirectory() as folder:
            asset, out = Path(folder, "in", "a.css"), Path(folder, "out")
            asset.parent.mkdir()
            asset.write_text("a {}", encoding="utf-8")
            before = build.write_assets(asset.parent, out)
            asset.write_text("b {}", encoding="utf-8")

            self.assertNotEqual(build.write_assets(asset.parent, out), before)

    def test_a_page_without_title_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "pages/new.html: the first line"):
            build.split_title("<h1>New</h1>", "new.html")


if __name__ == "__main__":
    unittest.main()
