"""What a run will do: groups, phases, units, tasks, waves, steps; content-addressed."""
