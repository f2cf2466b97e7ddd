"""Running a workflow: the engine port and the engine for one machine."""
