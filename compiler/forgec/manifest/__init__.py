"""The plan as an Argo Workflow, and the workflow as YAML."""
