"""Receipts of compilations: what `forgec compile --receipt` leaves and `forgec verify` reads."""

from typing import TYPE_CHECKING

from forgec.cli.input import read_file
from forgec.cli.output import write

if TYPE_CHECKING:
    from forgec.compilation import Compiled, Options
    from forgec.discovery.model import Discovery
    from forgec.verify import Receipt


def make_receipt(document: "Discovery", compiled: "Compiled", options: "Options") -> "Receipt":
    """Signed, so to speak, by this version of the compiler."""
    from importlib.metadata import version

    from forgec.verify import receipt_of

    return receipt_of(document, compiled, options, compiler=version("catalyst-forge"))


def write_receipt(target: str, document: "Discovery", compiled: "Compiled", options: "Options") -> None:
    from forgec.verify import emit_receipt

    write(emit_receipt(make_receipt(document, compiled, options)), target)


def load_receipt(path: str) -> "Receipt":
    """Raises ForgeError where the file is none."""
    from forgec.syntax.document import read_text
    from forgec.verify import read_receipt

    return read_receipt(read_text(path, read_file(path)))
