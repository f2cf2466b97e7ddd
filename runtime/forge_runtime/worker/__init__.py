"""The worker process: pulling jobs, holding leases, and one handler for each job type."""
