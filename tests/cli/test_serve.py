"""`agent serve`: whatever is wrong is said before any call is taken, with the place and the remedy, and status 2."""

import shutil
import socket

import pytest

from agent.config import CONFIGS

SHOP = CONFIGS / "domains" / "shop"


@pytest.fixture
def domain(tmp_path):
    folder = tmp_path / "shop"
    shutil.copytree(SHOP, folder)
    return folder


def test_an_unknown_key_is_named_with_file_and_line(agent, tmp_path):
    (tmp_path / "mine.yaml").write_text("server:\n  port: 0\n  max_cals: 3\n")
    result = agent("serve", "--config", "mine.yaml")
    assert result.exit_code == 2
    assert "mine.yaml:3: unknown key 'server.max_cals'; remove it or correct its spelling" in result.stderr
    assert "Traceback" not in result.output


def test_a_wrong_variable_is_named(agent):
    result = agent("serve", CALLAGENT_SERVER__PORT="many")
    assert result.exit_code == 2
    assert "CALLAGENT_SERVER__PORT is many" in result.stderr


def test_a_flow_that_jumps_nowhere_is_named_with_file_and_line(agent, domain):
    flows = domain / "flows.yaml"
    text = flows.read_text()
    assert "processing: processing" in text
    flows.write_text(text.replace("processing: processing", "processing: nowhere", 1))
    line = next(n for n, row in enumerate(flows.read_text().splitlines(), 1) if "nowhere" in row)
    result = agent("serve", "--port", "0", "--domain", domain, "--insecure")
    assert result.exit_code == 2
    assert f"flows.yaml:{line}: " in result.stderr
    assert "'nowhere'" in result.stderr
    assert "ready on" not in result.stdout
    assert "Traceback" not in result.output


def test_a_domain_that_is_not_there_is_said(agent):
    result = agent("serve", "--port", "0", "--domain", "florist", "--insecure")
    assert result.exit_code == 2
    assert "florist" in result.stderr


def test_a_taken_port_is_said(agent):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = agent("serve", "--port", taken.getsockname()[1], "--insecure")
    assert result.exit_code == 2
    assert "choose another with --port" in result.stderr


def test_insecure_is_refused_where_others_could_reach_it(agent):
    result = agent("serve", "--host", "0.0.0.0", "--port", "0", "--insecure")
    assert result.exit_code == 2
    assert "--insecure works on loopback only" in result.stderr


def test_a_certificate_alone_is_refused(agent, tmp_path):
    (tmp_path / "cert.pem").write_text("no certificate")
    result = agent("serve", "--port", "0", "--tls-cert", "cert.pem")
    assert result.exit_code == 2
    assert result.stderr.strip() == "tls_cert and tls_key go together; give both or neither"


def test_a_certificate_that_is_none_is_said(agent, tmp_path):
    (tmp_path / "cert.pem").write_text("no certificate")
    result = agent("serve", "--port", "0", "--insecure", "--tls-cert", "cert.pem", "--tls-key", "cert.pem")
    assert result.exit_code == 2
    assert "the certificate cert.pem with the key cert.pem cannot be used" in result.stderr


def test_a_short_key_is_refused_and_not_shown(agent):
    result = agent("serve", "--port", "0", CALLAGENT_TOKEN_KEY="tiny-ky")
    assert result.exit_code == 2
    assert "CALLAGENT_TOKEN_KEY" in result.stderr
    assert "tiny-ky" not in result.output


def test_an_option_that_is_not_there_is_refused(agent):
    assert agent("serve", "--prot", "1").exit_code == 2
    assert agent("serve", "--port", "70000").exit_code == 2
    assert agent("serve", "--config", "missing.yaml").exit_code == 2
