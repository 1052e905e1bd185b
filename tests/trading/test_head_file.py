"""The chain's head outside the database: a rewritten chain shows, another database is no alarm."""

from pathlib import Path

from gambler_ai.storage.head_file import Head, HeadFile

HEAD = Head(7, "ab" * 32)


def test_a_head_is_read_back_for_its_own_database_and_account_only(tmp_path: Path) -> None:
    file = HeadFile(tmp_path, "paper", "sqlite:///a.db")
    file.write("account", HEAD)
    assert file.read("account") == HEAD
    assert file.read("another account") is None
    assert HeadFile(tmp_path, "paper", "sqlite:///b.db").read("account") is None


def test_a_damaged_file_is_no_head(tmp_path: Path) -> None:
    file = HeadFile(tmp_path, "paper", "sqlite:///a.db")
    file.path.write_text("{")
    assert file.read("account") is None


def test_a_disk_that_refuses_ends_nothing(tmp_path: Path) -> None:
    file = HeadFile(tmp_path / "gone", "paper", "sqlite:///a.db")
    file.write("account", HEAD)
    assert file.read("account") is None
