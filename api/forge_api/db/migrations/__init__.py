"""The schema's history. `Database.migrate` runs it over an open connection."""
