"""Making artifacts: an Earthfile target is run, and what it saves is looked at, described and packed."""
