"""Every list of verbs we can send, against jambonz's own validator, the npm package that its feature server uses."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.gateways.jambonz_app import connected, hung_up, moved, refused

PACKAGE = "@jambonz/verb-specifications@0.1.13"
CHECK = """
const {validate} = require('@jambonz/verb-specifications');
const logger = {info() {}, debug() {}, error() {}};
const lists = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const said = {};
for (const [name, verbs] of Object.entries(lists)) {
  try { validate(logger, verbs); said[name] = null; } catch (error) { said[name] = error.message; }
}
console.log(JSON.stringify(said));
"""
CONTEXT = {"handoff_id": "h-1", "reason": "asked", "summary": 'Fish & "Chips" \u4f60\u597d ' * 40, "language": "en"}
URL = "wss://calls.example.com/gateways/jambonz/token"
TARGETS = (
    *("+15550123", "2001", "sip:desk@example.com;transport=tcp", "user:anna@calls.example.com"),
    *("refer:+15550123", "refer:sip:desk@example.com", "queue:support", "conference:room-1"),
)


def lists() -> dict[str, Any]:
    return {
        "connected": connected(URL),
        "answered": connected(URL, ("user", "word"), answer=True),
        "hung up": hung_up(),
        "hung up for a reason": hung_up("goodbye"),
        "declined": refused(outbound=False),
        "refused": refused(outbound=True),
        **{target: moved(target, CONTEXT) for target in TARGETS},
        **{f"{target}, nothing known": moved(target, {}) for target in TARGETS},
    }


def wrong() -> dict[str, Any]:
    return {
        "no url": [{"verb": "listen"}],
        "a rate as text": [{"verb": "listen", "url": URL, "sampleRate": "8000"}],
        "no such field": [{"verb": "listen", "url": URL, "rate": 8000}],
        "no such verb": [{"verb": "transfer", "target": "x"}],
        "no such target": [{"verb": "dial", "target": [{"type": "desk"}]}],
    }


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jambonz")
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.fail("node and npm are needed for this test: install Node.js 18 or newer (Debian: nodejs npm)")
    asked = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    ran = subprocess.run(asked, capture_output=True, text=True, timeout=180, check=False)
    if ran.returncode:
        pytest.fail(f"npm could not install {PACKAGE}; is a registry reachable? {ran.stderr[-500:]}")
    return folder


def validated(folder: Path, given: dict[str, Any]) -> dict[str, str | None]:
    ran = subprocess.run(
        ["node", "-e", CHECK],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, str | None] = json.loads(ran.stdout)
    return answer


@pytest.mark.slow
@pytest.mark.aside
def test_jambonz_takes_all_our_verbs(validator: Path) -> None:
    given = lists()
    assert validated(validator, given) == dict.fromkeys(given)


@pytest.mark.slow
@pytest.mark.aside
def test_its_validator_would_find_mistakes(validator: Path) -> None:
    answer = validated(validator, wrong())
    assert all(answer[name] for name in wrong()), answer
