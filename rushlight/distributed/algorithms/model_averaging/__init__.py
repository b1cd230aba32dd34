"""Means of the models of several processes."""
