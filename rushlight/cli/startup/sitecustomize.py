"""First thing that a Python process below `rushlight run` executes: torch is rushlight here.

Its folder stands first in PYTHONPATH. It takes the folder off sys.path again, so that the program
sees the path it would have had, and runs the sitecustomize that it has hidden, if there is one.
"""
import importlib.machinery
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run(name, spec):
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_impersonate():
    path = os.path.join(os.path.dirname(os.path.dirname(HERE)), "impersonate.py")
    return run("rushlight.impersonate",
               importlib.util.spec_from_file_location("rushlight.impersonate", path))


def run_the_hidden_one():
    hidden = importlib.machinery.PathFinder.find_spec("sitecustomize")
    if hidden is not None and hidden.loader is not None:
        run("sitecustomize", hidden)


sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != HERE]
if os.environ.get("RUSHLIGHT_RUN"):
    load_impersonate().take_over(os.environ["RUSHLIGHT_RUN"])
run_the_hidden_one()
