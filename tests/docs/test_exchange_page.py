"""The page of the local exchange: what it tells people to paste works, on a real exchange."""

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.docs.pages import page
from tests.paper_exchange.rig import eventually

PAGE = page("docs/local-exchange.md")
BLOCKS = [block.splitlines() for block in re.findall(r"^```sh exchange\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)]
SERVE = next(line for line in PAGE.splitlines() if line.startswith("gambler exchange serve"))


@pytest.fixture
def exchange(tmp_path: Path) -> Any:
    """The exchange the page starts, on a free port; ended with the test."""
    flags = shlex.split(SERVE.replace("--port 8600", "--port 0 --port-file port"))[1:]
    process = subprocess.Popen([sys.executable, "-m", "gambler_ai", *flags], cwd=tmp_path)
    try:
        told = eventually(lambda: (tmp_path / "port").exists() and (tmp_path / "port").read_text(), 30)
        yield json.loads(told)["port"], tmp_path
    finally:
        process.terminate()
        assert process.wait(10) == 0


def paste(line: str, port: int, directory: Path) -> requests.Response:
    """What curl would send."""
    token = (directory / "lab-token").read_text().strip()
    words = iter(shlex.split(line.replace("$(cat lab-token)", token).replace(":8600", f":{port}")))
    assert next(words) == "curl"
    method, url, headers, body = None, "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        elif word != "-s":
            url = word
    return requests.request(method or ("POST" if body else "GET"), url, headers=headers, data=body, timeout=30)


def test_every_line_of_the_page_can_be_pasted(exchange: tuple[int, Path]) -> None:
    assert [len(block) for block in BLOCKS] > [3, 15]
    for line in (line for block in BLOCKS for line in block):
        answer = paste(line, *exchange)
        assert answer.status_code == 200, f"{line}\n{answer.text}"
        assert answer.json() != {}


def test_every_example_of_a_fault_is_a_rule(exchange: tuple[int, Path]) -> None:
    port, directory = exchange
    examples = re.findall(r"`(\{\"act\": [^`]*\})`", PAGE)
    assert len(examples) > 25
    headers = {"X-Lab-Token": (directory / "lab-token").read_text().strip()}
    for example in examples:
        answer = requests.post(f"http://127.0.0.1:{port}/_lab/faults", data=example, headers=headers, timeout=30)
        assert answer.status_code == 200, f"{example}\n{answer.text}"


def test_every_act_has_an_example() -> None:
    from gambler_ai.paper_exchange.acts import ON_FRAMES, ON_ORDERS, ON_REQUESTS

    shown = {json.loads(one)["act"] for one in re.findall(r"`(\{\"act\": [^`]*\})`", PAGE)}
    assert shown == {*ON_REQUESTS, *ON_FRAMES, *ON_ORDERS}


def test_the_exchange_in_process_runs_as_shown() -> None:
    code = re.search(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert code
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code[1], {})
    lines = said.getvalue().splitlines()
    assert lines[0] == "200"
    assert json.loads(lines[1])["qty"] == "1"
    assert "'symbol': 'SPY'" in lines[2]


def test_the_made_token_is_its_owners_alone(exchange: tuple[int, Path]) -> None:
    assert (exchange[1] / "lab-token").stat().st_mode & 0o777 == 0o600
