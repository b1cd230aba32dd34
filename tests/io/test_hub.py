"""`torch.hub`: files and repositories, fetched from a server of our own on loopback."""
import hashlib
import http.server
import threading
import zipfile
from functools import partial

import pytest

import rushlight as torch
from rushlight import hub

MODEL = '''
dependencies = ["numpy"]

def double(x, times=2):
    """Times two."""
    import torch
    return torch.tensor([x]) * times

def _hidden():
    raise AssertionError
'''


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder that is served, its address; the hub's own folder is new."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            return
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setattr(hub, "_folder", [str(tmp_path / "hub")])
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(hub, "SITE", address)
    yield folder, address
    server.shutdown()
    server.server_close()


def test_folders(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "_folder", [])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert hub.get_dir() == str(tmp_path / "hub")
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert hub.get_dir() == "/cache/torch/hub"
    hub.set_dir(tmp_path)
    assert torch.hub.get_dir() == str(tmp_path)


def test_weights_are_fetched_once_and_checked(site, tmp_path, capsys):
    folder, address = site
    torch.save({"w": torch.arange(3.0)}, folder / "new")
    digest = hashlib.sha256((folder / "new").read_bytes()).hexdigest()
    name = f"net-{digest[:8]}.pth"
    (folder / "new").rename(folder / name)
    for _ in range(2):
        found = hub.load_state_dict_from_url(f"{address}/{name}", progress=False, check_hash=True)
        assert found["w"].tolist() == [0, 1, 2]
    assert capsys.readouterr().out.count("Downloading") == 1
    (folder / name).rename(folder / "net-00000000.pth")
    with pytest.raises(RuntimeError, match='invalid hash value \\(expected "00000000"'):
        hub.load_state_dict_from_url(f"{address}/net-00000000.pth", progress=False, check_hash=True)
    assert {p.name for p in (tmp_path / "hub" / "checkpoints").iterdir()} == {name}


def test_functions_of_a_folder(tmp_path):
    (tmp_path / "hubconf.py").write_text(MODEL.replace("import torch", "import rushlight as torch"))
    assert hub.load(tmp_path, "double", 3.0, source="local", times=5).tolist() == [15.0]
    with pytest.raises(RuntimeError, match="Cannot find callable triple in hubconf"):
        hub.load(tmp_path, "triple", source="local")
    with pytest.raises(ValueError, match='Unknown source: "here"'):
        hub.load(tmp_path, "double", source="here")
    (tmp_path / "hubconf.py").write_text("dependencies = ['no_such_package']\ndef double(): return 1")
    with pytest.raises(RuntimeError, match="Missing dependencies: no_such_package"):
        hub.load(tmp_path, "double", source="local")


def test_functions_of_a_repository(site, monkeypatch):
    folder, _ = site
    (folder / "me" / "net" / "zipball").mkdir(parents=True)
    with zipfile.ZipFile(folder / "me" / "net" / "zipball" / "v1", "w") as archive:
        archive.writestr("me-net-123/hubconf.py", MODEL)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    with pytest.raises(Exception, match="Untrusted repository"):
        hub.list("me/net:v1", trust_repo="check")
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert hub.list("me/net:v1", trust_repo="check") == ["double"]
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("is trusted by now"))
    assert hub.help("me/net:v1", "double", trust_repo="check") == "Times two."


def test_no_repository_without_a_network(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "SITE", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "_folder", [str(tmp_path)])
    with pytest.raises(RuntimeError, match="no internet connection and the repo could not be found in the cache"):
        hub.load("me/net", "double")
