"""What the command `rushlight` does: one function for each of its words."""
