"""`python -m tests.io.viewers` without the screenshots: what the real servers answer."""
import pytest

from tests.io import viewers


def test_tensorboards_server_shows_what_was_written(tmp_path):
    pytest.importorskip("tensorboard")
    viewers.write_run(tmp_path)
    with viewers.served(viewers.TENSORBOARD, tmp_path) as address:
        viewers.check_tensorboard(address)


def test_visdoms_server_shows_what_was_drawn(tmp_path):
    pytest.importorskip("visdom.server.run_server")
    with viewers.served(viewers.VISDOM, tmp_path) as address:
        viewers.check_visdom(address, str(tmp_path))
