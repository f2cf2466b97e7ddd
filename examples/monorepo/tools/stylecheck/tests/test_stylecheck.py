"""Each rule finds what it is for, and lets the rest pass."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import stylecheck


def messages(source, is_test=False):
    return [message for _, message in stylecheck.check(source, is_test)]


class RuleTest(unittest.TestCase):
    def test_tidy_code_passes(self):
        source = '"""A module."""\nimport sys\n\n\ndef f(x=()):\n    """Print."""\n    print(sys.path, x)\n'

        self.assertEqual(messages(source), [])

    def test_an_unused_import_is_found_with_its_line(self):
        self.assertEqual(
            stylecheck.check('"""A module."""\nimport os\nimport sys as s\nprint(s)\n'),
            [(2, "import of os is not used")],
        )

    def test_a_long_line_is_found(self):
        source = '"""A module."""\nx = "' + "a" * 110 + '"\n'

        self.assertEqual(messages(source), ["line of 116 characters (at most 110)"])

    def test_blanks_at_the_end_and_tabs_are_found(self):
        source = '"""A module."""\nif 1:\n\tx = 1 \n'

        self.assertEqual(messages(source), ["blank at the end of the line", "tab (use spaces)"])

    def test_a_bare_except_is_found(self):
        self.assertIn("bare except", messages('"""M."""\ntry:\n    x = 1\nexcept:\n    x = 2\n')[0])

    def test_a_mutable_default_is_found(self):
        self.assertIn("f: mutable default", messages('"""M."""\ndef f(x=[]):\n    """F."""\n')[0])

    def test_public_things_need_a_docstring_and_private_ones_do_not(self):
        source = "def public():\n    pass\n\n\ndef _private():\n    pass\n"

        self.assertEqual(messages(source), ["module has no docstring", "public has no docstring"])

    def test_test_files_need_a_docstring_for_the_module_only(self):
        self.assertEqual(messages("def test_it():\n    pass\n", is_test=True), ["module has no docstring"])

    def test_a_syntax_error_is_one_finding(self):
        findings = stylecheck.check("def f(:\n    pass\n")

        self.assertEqual(len(findings), 1)
        self.assertIn("syntax error", findings[0][1])


class CommandTest(unittest.TestCase):
    def test_the_exit_code_tells_clean_dirty_and_missing_apart(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as output:
            Path(folder, "clean.py").write_text('"""Clean."""\n', encoding="utf-8")
            self.assertEqual(stylecheck.main([folder]), 0)

            Path(folder, "dirty.py").write_text("import os\n", encoding="utf-8")
            self.assertEqual(stylecheck.main([folder]), 1)

            with contextlib.redirect_stderr(io.StringIO()):
                self.assertEqual(stylecheck.main([f"{folder}/missing.py"]), 2)

        self.assertIn("dirty.py:1: import of os is not used", output.getvalue())


if __name__ == "__main__":
    unittest.main()
