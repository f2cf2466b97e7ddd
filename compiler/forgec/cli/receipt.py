"""Receipts of compilations: what `forgec compile --receipt` leaves and `forgec verify` reads."""

from typing import TYPE_CHECKING

from forgec.cli.input import read_file

if TYPE_CHECKING:
    from forgec.compilation import Compiled, Options
    from forgec.discovery.model import Discovery
    from forgec.verify import Receipt


def make_receipt(document: "Discovery", compiled: "Compiled", options: "Options") -> "Receipt":
    """Signed, so to speak, by this version of the compiler."""
    from importlib.metadata import version

    from forgec.verify import receipt_of

    return receipt_of(document, compiled, options, compiler=version("catalyst-forge"))


def receipt_text(document: "Discovery", compiled: "Compiled", options: "Options") -> bytes:
    from forgec.verify import emit_receipt

    return emit_receipt(make_receipt(document, compiled, options))


def load_receipt(path: str) -> "Receipt":
    """Raises ForgeError where the file is none."""
    from forgec.syntax.document import read_text
    from forgec.verify import read_receipt

    return read_receipt(read_text(path, read_file(path)))
