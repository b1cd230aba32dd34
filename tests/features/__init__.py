"""One short test for each row of behaviour that was asked for; `tools/write_docs.py` counts them by area."""
