"""What comes along with an artifact: what is in it, how it was made, and who vouches for that."""
