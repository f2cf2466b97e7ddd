"""A plan as a picture: mermaid, dot, and one page of HTML."""
