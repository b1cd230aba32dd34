"""Tests count what the compiler does, so it is to find nothing that an earlier run has made."""
import os

os.environ.setdefault("RUSHLIGHT_RECIPES", "off")
