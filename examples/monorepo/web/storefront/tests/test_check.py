"""Each check finds what it is for."""

import tempfile
import unittest
from pathlib import Path

import check


class SiteTest(unittest.TestCase):
    def problems(self, **pages):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in pages.items():
                Path(folder, f"{name}.html").write_text(text, encoding="utf-8")
            return [problem.removeprefix(f"{folder}/") for problem in check.check_site(Path(folder))]

    def test_sound_pages_pass(self):
        pages = {
            "a": '<p id="x"><a href="b.html#y">b</a><br><img src="b.html" alt="b"></p>',
            "b": '<p id="y"><a href="#y">y</a></p>',
        }

        self.assertEqual(self.problems(**pages), [])

    def test_links_must_lead_somewhere(self):
        self.assertEqual(
            self.problems(a='<p><a href="b.html">b</a>\n<a href="#z">z</a></p>'),
            ["a.html:1: link to b.html leads nowhere", "a.html:2: link to #z leads nowhere"],
        )

    def test_tags_must_be_closed_in_order(self):
        self.assertIn("a.html:1: </p> closes nothing", self.problems(a="<p><b>x</p></b>"))
        self.assertEqual(self.problems(a="<p>\n<b>x</b>"), ["a.html:1: <p> is never closed"])

    def test_ids_must_be_unique_and_images_need_a_text(self):
        self.assertEqual(
            self.problems(a='<p id="x"></p><p id="x"></p>', b='<img src="b.html">'),
            ["a.html:1: id x is used twice", "b.html:1: <img> without alt"],
        )

    def test_an_empty_site_is_a_problem(self):
        self.assertEqual(len(self.problems()), 1)


class StylesTest(unittest.TestCase):
    def problems(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "style.css")
            path.write_text(text, encoding="utf-8")
            return [problem.removeprefix(f"{path}: ") for problem in check.check_styles(path)]

    def test_properties_are_declared_and_used(self):
        self.assertEqual(self.problems(":root { --a: 1px; } p { margin: var(--a); }"), [])
        self.assertEqual(self.problems("p { margin: var(--a); }"), ["--a is used and not declared"])
        self.assertEqual(self.problems(":root { --a: 1px; }"), ["--a is declared and not used"])

    def test_braces_match(self):
        self.assertEqual(self.problems("p { margin: 0;"), ["1 opening braces, 0 closing ones"])


if __name__ == "__main__":
    unittest.main()
