"""The GitOps repository: release pointers, and how they get there."""
