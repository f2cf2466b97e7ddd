"""Golden workflows: what an input compiled to when somebody last looked, and whether it still does."""
