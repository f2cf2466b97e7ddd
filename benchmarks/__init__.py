"""`make bench`: what this project takes, side by side with its peers and with the physical floor, in one run."""
