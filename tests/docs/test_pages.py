"""The pages themselves: links lead somewhere, and nobody's machine is mentioned."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _anchors(path: Path) -> set[str]:
    """Headings as GitHub turns them into anchors."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_link_inside_the_project_leads_somewhere(path: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", path.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{_name(path)} links to {target}"
        assert not anchor or anchor in _anchors(found), f"{_name(path)} links to {target}"


@pytest.mark.parametrize("path", [*PAGES, ROOT / "requirements.lock", ROOT / "Makefile", ROOT / ".ci/run"], ids=_name)
def test_no_page_names_a_package_index_or_somebodys_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(root|opt)/|/home/[a-z]|--(extra-)?index[-]url|--find[-]links|--trusted-host|pypi", text)


def test_every_page_is_linked_from_another_one() -> None:
    linked = {(page.parent / t.partition("#")[0]).resolve() for page in PAGES for t in _LINK.findall(page.read_text())}
    missing = [p for p in PAGES if p not in linked and p.parent not in linked and p.name != "README.md"]
    assert not missing
