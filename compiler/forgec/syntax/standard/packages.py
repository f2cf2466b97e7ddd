"""The standard packages by the path they are imported under."""

from collections.abc import Mapping
from typing import Final

from forgec.syntax.standard import lists, regexp, strconv, strings
from forgec.syntax.standard.function import Function

PACKAGES: Final[Mapping[str, Mapping[str, Function]]] = {
    "list": lists.FUNCTIONS,
    "regexp": regexp.FUNCTIONS,
    "strconv": strconv.FUNCTIONS,
    "strings": strings.FUNCTIONS,
}
