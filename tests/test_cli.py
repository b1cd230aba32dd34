"""The command `rushlight`: a program that it runs cannot tell the difference from `python`."""
import os
import signal
import subprocess
import sys
import textwrap

import pytest

import rushlight.impersonate as impersonate

COMMAND = [sys.executable, "-m", "rushlight"]
ROOT = impersonate.package_folder()


def environment(**extra):
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", impersonate.SWITCH)}
    return env | {"PYTHONPATH": ROOT} | extra


def call(*arguments, cwd=None, **extra):
    return subprocess.run([*map(str, arguments)], cwd=cwd, env=environment(**extra), text=True,
                          capture_output=True, timeout=120)


def rushlight(*arguments, cwd=None, **extra):
    return call(*COMMAND, *arguments, cwd=cwd, **extra)


@pytest.fixture
def script(tmp_path):
    def write(source, name="script.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(source))
        return path
    return write


def output(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torch_is_rushlight_under_all_its_names(script):
    path = script("""
        import importlib, sys
        import torch, torch.nn as nn, torch.nn.functional as F, rushlight
        from torch.utils.data import DataLoader
        from torch import optim
        import rushlight.nn.functional, rushlight.utils.data
        assert torch is rushlight and nn is rushlight.nn
        assert F is rushlight.nn.functional is torch.nn.functional
        assert sys.modules["torch.nn.functional"] is sys.modules["rushlight.nn.functional"]
        assert DataLoader is rushlight.utils.data.DataLoader
        assert importlib.import_module("torch.optim") is optim is rushlight.optim
        assert nn.__spec__.name == "rushlight.nn"
        print(torch.ones(2).sum().item())
    """)
    assert output(rushlight("run", path)) == "2.0\n"


def test_what_libraries_ask_about_torch(script):
    path = script("""
        import importlib.metadata, importlib.util
        assert importlib.util.find_spec("torch") is not None
        assert importlib.util.find_spec("torch.nn.functional") is not None
        assert importlib.util.find_spec("torch.nothing_here") is None
        assert importlib.metadata.version("torch") == "2.13.0+rushlight"
        assert importlib.metadata.distribution("torch").metadata["Name"] == "torch"
        assert "torch" in [d.metadata["Name"] for d in importlib.metadata.distributions()]
        assert importlib.metadata.version("numpy")
        import torch
        print(torch.__version__)
    """)
    assert output(rushlight("run", path)) == "2.13.0+rushlight\n"


def test_names_that_packages_import_where_they_were_before(script):
    path = script("""
        from torch.distributed._composable.fsdp import FSDPModule
        from torch.distributed._tensor.experimental import implicit_replication
        from torch.distributed.tensor.experimental import implicit_replication as newer
        from torch.utils.data.dataloader import _collate_fn_t, _worker_init_fn_t
        import torch.distributed.fsdp, torch.distributed._tensor, torch.distributed.tensor
        assert FSDPModule is torch.distributed.fsdp.FSDPModule and implicit_replication is newer
        assert torch.distributed._tensor.DTensor is torch.distributed.tensor.DTensor
        with implicit_replication():
            print(torch.ones(2).sum().item())
    """)
    assert output(rushlight("run", path)) == "2.0\n"


def test_what_is_missing_is_named(script):
    path = script("""
        import torch
        for line in ["import torch.no_such", "import torch.no_such.deeper",
                     "torch.no_such_function", "torch.nn.functional.no_such_layer",
                     "from torch.nn import NoSuchLayer"]:
            try:
                exec(line)
            except (ImportError, AttributeError) as error:
                print(type(error).__name__, error)
        print(hasattr(torch, "no_such"))
    """)
    lines = output(rushlight("run", path)).splitlines()
    assert lines[0] == "ModuleNotFoundError rushlight has no torch.no_such yet"
    assert lines[1] == "ModuleNotFoundError rushlight has no torch.no_such yet"
    assert lines[2].startswith("AttributeError") and "no_such_function" in lines[2]
    assert lines[3].startswith("AttributeError") and "no_such_layer" in lines[3]
    assert lines[4].startswith("ImportError") and "NoSuchLayer" in lines[4]
    assert lines[5] == "False"


WHERE_AM_I = """
    import sys, os
    print(sys.argv, __name__, os.path.basename(__file__), sys.path[0], __spec__ is None)
    print([p for p in sys.path if "startup" in p], "sitecustomize" in sys.modules)
"""


def test_argv_name_file_and_path_are_pythons(script, tmp_path):
    path = script(WHERE_AM_I)
    arguments = ["script.py", "-x", "--help", "a b", "--", "run"]
    ours = output(rushlight("run", *arguments, cwd=tmp_path))
    theirs = output(call(sys.executable, *arguments, cwd=tmp_path))
    assert ours.splitlines()[0] == theirs.splitlines()[0]
    assert ours.splitlines()[1].startswith("[]")
    elsewhere = output(rushlight("run", path, "1", cwd="/"))
    assert elsewhere.startswith(f"['{path}', '1'] __main__ script.py {tmp_path}")


def test_a_module_runs_as_with_python_m(script, tmp_path):
    (tmp_path / "package").mkdir()
    script("print('init')", "package/__init__.py")
    script("import sys, torch; print(sys.argv, sys.path[0], __spec__.name, torch.__version__)",
           "package/__main__.py")
    ours = output(rushlight("run", "-m", "package", "-v", cwd=tmp_path))
    assert ours == (f"init\n['{tmp_path}/package/__main__.py', '-v'] {tmp_path} package.__main__ "
                    "2.13.0+rushlight\n")


def test_a_missing_module_ends_like_pythons():
    ours = rushlight("run", "-m", "no_such_module")
    theirs = call(sys.executable, "-m", "no_such_module")
    assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr)


@pytest.mark.parametrize("body", [
    "pass", "raise SystemExit", "raise SystemExit(7)", "raise SystemExit('a message')",
    "import sys; sys.exit(True)", "import os; os._exit(5)", "1 / 0",
    "raise ValueError('a\\nb') from KeyError(1)", "def f():\n    g()\n\nf()", "x = (",
    "import atexit; atexit.register(print, 'bye'); raise OSError(2, 'no')",
    "import sys; sys.excepthook = lambda *a: print(a[0], a[2].tb_frame.f_code.co_name); 1 / 0",
    "raise KeyboardInterrupt",
])
def test_every_end_is_pythons(script, body):
    path = script(body)
    ours, theirs = rushlight("run", path), call(sys.executable, path)
    assert (ours.returncode, ours.stdout, ours.stderr) == \
        (theirs.returncode, theirs.stdout, theirs.stderr)


def test_an_interrupt_reaches_the_program(script):
    path = script("""
        import time
        try:
            print("ready", flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            print("caught")
            raise SystemExit(9)
    """)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)     # a shell's background jobs ignore it
    try:
        process = subprocess.Popen([*COMMAND, "run", str(path)], env=environment(), text=True,
                                   stdout=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=120)[0] == "caught\n"
    assert process.returncode == 9


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_see_rushlight(script, method):
    path = script(f"""
        import multiprocessing

        def child(queue):
            import torch
            import torch.nn.functional
            queue.put((torch.__name__, torch.__version__))

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            queue = context.Queue()
            process = context.Process(target=child, args=(queue,))
            process.start()
            print(*queue.get(timeout=60))
            process.join()
    """)
    assert output(rushlight("run", path)) == "rushlight 2.13.0+rushlight\n"


def test_python_processes_below_see_rushlight(script):
    path = script("""
        import subprocess, sys
        code = "import torch, sys; print(torch.__name__, [p for p in sys.path if 'startup' in p])"
        subprocess.run([sys.executable, "-c", code], check=True)
    """)
    assert output(rushlight("run", path)) == "rushlight []\n"


def test_another_environments_python_is_left_alone(script):
    path = script("""
        import os, sys
        print(any(getattr(f, "__name__", "") == "Impersonator" for f in sys.meta_path))
    """)
    env = impersonate.environment(environment())
    env[impersonate.SWITCH] = "/another/prefix" + os.pathsep + ROOT
    done = subprocess.run([sys.executable, str(path)], env=env, text=True, capture_output=True)
    assert output(done) == "False\n"


def test_a_sitecustomize_that_was_there_still_runs(script, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import builtins; builtins.customised = __file__\n")
    path = script("import torch, sitecustomize; print(customised == sitecustomize.__file__)")
    done = rushlight("run", path, PYTHONPATH=os.pathsep.join([ROOT, str(folder)]))
    assert output(done) == "True\n"


def test_a_program_that_needs_no_tensors_does_not_load_rushlight(script):
    path = script("import sys; print('rushlight' in sys.modules, 'numpy' in sys.modules)")
    assert output(rushlight("run", path)) == "False False\n"


def test_classes_pickle_by_name_and_unpickle_under_both(script):
    path = script("""
        import pickle, torch
        assert pickle.loads(pickle.dumps(torch.nn.Linear)) is torch.nn.Linear
        assert pickle.loads(b"ctorch.nn.modules.linear\\nLinear\\n.") is torch.nn.Linear
        assert pickle.loads(b"ctorch\\nfloat32\\n.") is torch.float32
        layer = pickle.loads(pickle.dumps(torch.nn.Linear(2, 3)))
        print(layer.weight.shape)
    """)
    assert output(rushlight("run", path)) == "torch.Size([3, 2])\n"


def test_a_program_with_pytorch_loaded_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", type(sys)("torch"))
    with pytest.raises(RuntimeError, match="already imported"):
        impersonate.install()


@pytest.mark.parametrize("arguments, words", [
    (["run"], "which script"),
    (["run", "-m"], "which module"),
    (["run", "--fast", "x.py"], "unknown option --fast"),
    (["run", "no/such/script.py"], "can't open file"),
    (["--frobnicate"], "unknown option --frobnicate"),
    (["frobnicate"], "unknown command frobnicate"),
    (["info", "more"], "unknown argument more"),
    (["cache", "--empty"], "unknown argument --empty"),
])
def test_a_command_line_that_makes_no_sense(arguments, words):
    done = rushlight(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    first = done.stderr.splitlines()[0]
    assert first.startswith("rushlight: ") and words in first
    assert "Traceback" not in done.stderr


def test_the_console_script_runs_a_program_without_loading_the_package(script):
    path = script("import sys; print(sys.argv[1:], 'rushlight' in sys.modules)")
    code = "import sys, rushlight_command; sys.exit(rushlight_command.main())"
    assert output(call(sys.executable, "-c", code, "run", path, "-q")) == "['-q'] False\n"
    assert output(call(sys.executable, "-c", code, "--version")).startswith("rushlight 0.1.0")
    assert call(sys.executable, "-c", code, "run").returncode == 2


def test_version_and_help():
    assert output(rushlight("--version")) == "rushlight 0.1.0 (torch 2.13.0+rushlight)\n"
    for arguments in ([], ["--help"], ["-h"]):
        assert "run SCRIPT" in output(rushlight(*arguments))


def test_info_says_what_this_machine_is():
    told = output(rushlight("info")).lower()
    for word in ("python", "llvm", "cpu", "threads", "cache"):
        assert word in told


def test_the_cache_can_be_cleared(tmp_path):
    assert output(rushlight("cache", "--clear", XDG_CACHE_HOME=str(tmp_path)))
