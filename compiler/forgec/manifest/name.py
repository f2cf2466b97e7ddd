"""Names that Kubernetes and Argo accept, and how long ours may be.

A pod is called `<workflow>-<template>-<hash of the node's name>`. It becomes a label's value and a host's name, which
end at 63 characters; the hash has up to 10 digits, two hyphens join the parts, so 51 are left:

    forge-0190c6d2-5a58-7c1b-9d6b-8e0b1c7f4a52 - discovery - 4294967295
    42                                           9           10
"""

import re
from typing import Final

LABEL_LENGTH_MAX: Final = 63
NODE_HASH_LENGTH_MAX: Final = 10  # 2**32 - 1 in decimal

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def is_dns_label(text: str) -> bool:
    """A DNS-1123 label: lower-case letters, digits and inner hyphens, at most 63."""
    return len(text) <= LABEL_LENGTH_MAX and _DNS_LABEL.fullmatch(text) is not None


def fits_pod_name(workflow: str, template: str) -> bool:
    """Whether every pod of the template has a name within the limit."""
    return len(workflow) + len(template) + NODE_HASH_LENGTH_MAX + 2 <= LABEL_LENGTH_MAX
