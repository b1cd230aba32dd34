"""Models and weights from elsewhere: files by address, repositories with a `hubconf.py`.

Files lie where PyTorch keeps them, in ~/.cache/torch/hub, so what one has fetched the other finds.
"""
from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import zipfile
from contextlib import contextmanager
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import urlopen

from rushlight.utils.download import digest_of, fetch

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

SITE = "https://github.com"
HASH = re.compile(r"-([a-f0-9]*)\.")
TRUSTED = {"facebookresearch", "facebookincubator", "pytorch", "fairinternal"}
_folder: list[str] = []


def get_dir() -> str:
    """The folder of what was fetched: set by set_dir, else $TORCH_HOME/hub, else in the user's cache."""
    if _folder:
        return _folder[0]
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    return os.path.join(os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch"))), "hub")


def set_dir(d) -> None:
    """Keep what is fetched in another folder."""
    _folder[:] = [os.path.expanduser(d)]


# -- files ---------------------------------------------------------------------------------------

def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Fetch a file; `dst` is there only when it is whole, and a download that was cut is continued.

    Args:
        hash_prefix: with what the file's SHA-256 begins.

    Raises:
        RuntimeError: it begins otherwise. URLError: nothing answers.
    """
    dst = os.path.expanduser(dst)
    part = dst + ".part"
    fetch(url, part, progress)
    found = digest_of(part, "sha256") if hash_prefix is not None else ""
    if not found.startswith(hash_prefix or ""):
        os.remove(part)
        raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{found}")')
    os.replace(part, dst)


def load_state_dict_from_url(url: str, model_dir: str | None = None, map_location=None, progress: bool = True,
                             check_hash: bool = False, file_name: str | None = None, weights_only: bool = False):
    """What `torch.load` finds in a file, fetched unless it is in `model_dir` (get_dir()/checkpoints).

    Args:
        check_hash: the file's name ends in "-" and the beginning of its SHA-256, which must agree.
    """
    from rushlight.serialization import load as load_file
    model_dir = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(model_dir, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(model_dir, name)
    if not os.path.exists(path):
        sys.stdout.write(f'Downloading: "{url}" to {path}\n')
        said = HASH.search(name) if check_hash else None
        download_url_to_file(url, path, said and said.group(1), progress=progress)
    return load_file(path, map_location=map_location, weights_only=weights_only)


# -- repositories --------------------------------------------------------------------------------

def load(repo_or_dir, model, *args, source="github", trust_repo="check", force_reload=False, verbose=True,
         skip_validation=False, **kwargs):
    """Call a function of a repository's `hubconf.py`: "owner/name[:ref]", or a folder if source is "local"."""
    with _hubconf(repo_or_dir, source, trust_repo, force_reload, verbose) as module:
        return _entry(module, model)(*args, **kwargs)


def list(github, force_reload=False, skip_validation=False, trust_repo="check", verbose=True) -> list[str]:
    """The functions of a repository's `hubconf.py`."""
    with _hubconf(github, "github", trust_repo, force_reload, verbose) as module:
        return [name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")]


def help(github, model, force_reload=False, skip_validation=False, trust_repo="check") -> str:
    """What such a function says of itself."""
    with _hubconf(github, "github", trust_repo, force_reload, True) as module:
        return _entry(module, model).__doc__


@contextmanager
def _hubconf(place, source, trust_repo, force_reload, verbose):
    """The module, its folder on the path while it is in use."""
    if source.lower() not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    folder = os.fspath(place) if source.lower() == "local" else _repository(place, trust_repo, force_reload, verbose)
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location("hubconf", os.path.join(folder, "hubconf.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(folder)


def _entry(module, name):
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a string of function name")
    missing = [package for package in getattr(module, "dependencies", [])
               if package not in sys.modules and importlib.util.find_spec(package) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    if not callable(getattr(module, name, None)):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return getattr(module, name)


def _repository(github, trust_repo, force_reload, verbose) -> str:
    """The folder of a repository's files, fetched if it is not there."""
    owner, name, ref = _parts(github)
    folder = os.path.join(get_dir(), f"{owner}_{name}_{ref.replace('/', '_')}")
    os.makedirs(get_dir(), exist_ok=True)
    _check_trust(owner, name, folder, trust_repo)
    if os.path.exists(folder) and not force_reload:
        if verbose:
            sys.stderr.write(f"Using cache found in {folder}\n")
        return folder
    url = f"{SITE}/{owner}/{name}/zipball/{ref}"
    archive = folder + ".zip"
    sys.stdout.write(f'Downloading: "{url}" to {archive}\n')
    download_url_to_file(url, archive, progress=False)
    _unpack(archive, folder)
    return folder


def _parts(github) -> tuple[str, str, str]:
    """Owner, name and ref; without one "main", or "master" where there is no such branch."""
    place, _, ref = github.partition(":")
    owner, name = place.split("/")
    if ref:
        return owner, name, ref
    try:
        with urlopen(f"{SITE}/{owner}/{name}/tree/main/"):
            return owner, name, "main"
    except HTTPError as error:
        if error.code != 404:
            raise
        return owner, name, "master"
    except URLError as error:
        for kept in ("main", "master"):
            if os.path.exists(os.path.join(get_dir(), f"{owner}_{name}_{kept}")):
                return owner, name, kept
        raise RuntimeError("It looks like there is no internet connection and the repo could not be found in the "
                           f"cache ({get_dir()})") from error


def _check_trust(owner, name, folder, trust_repo) -> None:
    """Ask before the code of somebody new is run."""
    known = os.path.join(get_dir(), "trusted_list")
    with open(known, "a+", encoding="utf-8") as file:
        file.seek(0)
        is_trusted = owner in TRUSTED or f"{owner}_{name}" in file.read().split() or os.path.exists(folder)
        if trust_repo is False or (trust_repo == "check" and not is_trusted):
            said = input(f"The repository {owner}_{name} does not belong to the list of trusted repositories and as "
                         "such cannot be downloaded. Do you trust this repository and wish to add it to the trusted "
                         "list of repositories (y/N)?").lower()
            if said not in ("y", "yes"):
                raise Exception("Untrusted repository.")
        if not is_trusted:
            file.write(f"{owner}_{name}\n")


def _unpack(archive: str, folder: str) -> None:
    """An archive's only folder under another name, the old one gone."""
    made = folder + ".new"
    shutil.rmtree(made, ignore_errors=True)
    with zipfile.ZipFile(archive) as file:
        inner = file.namelist()[0].split("/")[0]
        file.extractall(made)
    os.remove(archive)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(os.path.join(made, inner), folder)
    shutil.rmtree(made)
