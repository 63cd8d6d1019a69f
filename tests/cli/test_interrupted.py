"""Ctrl-C while a compiled module is imported, which makes an ImportError of it."""

import pytest

from lodisc import cli


def initialise(cause: BaseException) -> None:
    """As pybind11 does it: what came up while a module was initialised is the cause of an ImportError."""
    raise ImportError("initialization failed") from cause


def test_an_import_that_ctrl_c_ended_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(_: str) -> cli.Command:
        try:
            initialise(KeyboardInterrupt())
        except ImportError as error:  # as a package does that says more
            raise ImportError("the engine cannot be loaded") from error
        raise AssertionError

    monkeypatch.setattr(cli, "load_command", load)
    assert cli.main(["search"]) == 130
    assert capsys.readouterr().err == "lodisc: interrupted\n"


def test_an_import_that_failed_by_itself_is_told_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "load_command", lambda _: initialise(OSError("no such library")))
    with pytest.raises(ImportError, match="initialization failed"):
        cli.main(["search"])
