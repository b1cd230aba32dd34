"""Flags: types, limits, one clear error, overriding."""
import os
import subprocess
import sys

import pytest

from rushlight import config


def test_a_flag_is_typed_and_can_be_overridden():
    before = config.debug.value
    with config.debug.override(3):
        assert config.debug.value == 3
        with config.override(debug=5, check=True, backend="reference"):
            assert (config.debug.value, config.check.value) == (5, True)
            assert config.backend.value == "reference"
        assert config.debug.value == 3
    assert config.debug.value == before


def test_an_override_ends_with_an_exception():
    before = config.debug.value
    with pytest.raises(KeyError), config.override(debug=6):
        raise KeyError
    assert config.debug.value == before


@pytest.mark.parametrize("name, value, allowed", [
    ("debug", 7, "an integer from 0 to 6"), ("debug", "loud", "an integer from 0 to 6"),
    ("backend", "gpu", "one of cpu, reference"), ("check", "perhaps", "0 or 1"),
    ("threads", -1, "an integer from 0 to 1024"), ("cache_size", "1.5", "an integer >= 0")])
def test_a_bad_value_says_what_is_allowed(name, value, allowed):
    with pytest.raises(ValueError, match=f"RUSHLIGHT_.*={str(value)!r}: expected {allowed}"):
        config.FLAGS[name].set(value)


def test_an_unknown_flag_lists_the_known():
    with pytest.raises(ValueError, match="no flag named 'speed': expected one of debug, show"), \
            config.override(speed=1):
        raise AssertionError


def test_the_table_names_every_flag():
    table = config.table()
    assert all(f"`{flag.variable}`" in table for flag in config.FLAGS.values())


def value_in(environment: dict, flag: str) -> str:
    script = f"from rushlight import config; print(config.{flag}.value)"
    here = {name: value for name, value in os.environ.items() if name not in ("RUSHLIGHT_CACHE", "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120,
                          env={**here, **environment})
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG folders")
@pytest.mark.parametrize("environment, folder", [
    ({"HOME": "/h", "XDG_CACHE_HOME": ""}, "/h/.cache/rushlight"),
    ({"XDG_CACHE_HOME": "/x"}, "/x/rushlight"),
    ({"HOME": "/h", "XDG_CACHE_HOME": "relative"}, "/h/.cache/rushlight"),
    ({"RUSHLIGHT_CACHE": "/own"}, "/own")])
def test_the_cache_folder_follows_the_environment(environment, folder):
    assert value_in(environment, "cache") == folder


def test_the_environment_is_checked():
    message = value_in({"RUSHLIGHT_DEBUG": "many"}, "debug")
    assert message == "ValueError: RUSHLIGHT_DEBUG='many': expected an integer from 0 to 6"


def test_info_and_cache_commands(capsys, tmp_path):
    from rushlight import cli_info
    with config.override(cache=tmp_path):
        assert cli_info.info() == 0
        printed = capsys.readouterr().out
        assert all(word in printed for word in
                   ("rushlight", "Python", "LLVM", "CPU", "bits", "threads", "backend", str(tmp_path)))
        (tmp_path / "a.o").write_bytes(bytes(1 << 20))
        assert cli_info.cache([]) == 0 and "1.0 MiB" in capsys.readouterr().out
        assert cli_info.cache(["--clear"]) == 0
        assert "deleted 1 objects" in capsys.readouterr().out
