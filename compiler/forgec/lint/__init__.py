"""What is wrong, or unwise, in an Argo Workflow: of the compiler's own, and of any other."""
