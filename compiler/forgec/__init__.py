"""The compiler: discovery JSON (or a repository) to a typed plan and an Argo Workflow."""
