"""Reports: the same figures for people, for the documentation and for programs."""

import json
import subprocess
import sys

import pytest

from agent.lab.measuring import memory, start
from agent.lab.measuring.machine import MeasureFailed, Memory, hardware_line, machine, memory_of, versions
from agent.lab.measuring.report import Report, Table, figure, spread


def test_percentiles_are_interpolated():
    assert spread([float(n) for n in range(1, 101)]) == {
        "count": 100,
        "p50": 50.5,
        "p95": 95.0,
        "least": 1,
        "most": 100,
    }
    assert spread([]) == {"count": 0}
    assert (figure({"p50": 12.6}, "p50", " ms"), figure({"count": 0}, "p50")) == ("13 ms", "-")


def test_markdown_has_machine_command_tables_and_notes():
    table = Table("Sizes", ("what", "MB"), (("a|b", "1"),))
    report = Report("x", "agent evaluate x", (table,), {"n": 1}, ("a note",))
    lines = report.markdown().splitlines()
    assert lines[0].startswith("`agent evaluate x`, 20")
    assert report.hardware in lines[0]
    assert lines[2:] == ["Sizes", "", "| what | MB |", "| --- | ---: |", "| a\\|b | 1 |", "", "- a note"]


def test_the_document_is_json_with_machine_and_versions():
    document = json.loads(json.dumps(Report("x", "c", (), {"n": 1}).document()))
    assert document["figures"] == {"n": 1}
    assert document["machine"]["cores"] >= 1
    assert document["versions"]["numpy"] == versions()["numpy"]
    assert document["at"].endswith("+00:00")


def test_the_machine_is_named_in_a_line():
    found = machine()
    assert found["memory_gb"] > 0
    assert str(found["cpu"]) in hardware_line(found)


def memory_holding(size):
    """The memory of a process of its own that holds `size` bytes: this one gives back and takes as tests before did."""
    program = f"held = bytearray(b'x' * {size}); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"held\n"
        found = memory_of(child.pid)
        child.communicate(b"\n")
    return found


def test_memory_grows_with_what_is_held():
    little, much = memory_holding(1), memory_holding(60_000_000)
    assert 50 < much.now_mb - little.now_mb < 70
    assert much.peak_mb >= much.now_mb


def test_memory_of_no_process_is_refused():
    with pytest.raises(MeasureFailed, match="process 4194399"):
        memory_of(4194399)


def test_memory_a_call_is_counted_from_before_its_wave():
    found = {
        "at rest": Memory(400, 450),
        "live 1": Memory(480, 500),
        "after 1": Memory(460, 500),
        "live 2": Memory(484, 510),
        "after 2": Memory(462, 510),
    }
    report = memory.digest(found, 8, 2, "c")
    assert report.figures["mb_per_call"] == {"wave_1": 10.0, "wave_2": 3.0}
    assert report.figures["peak_mb"] == 510
    assert ("wave 2: 8 live calls", "484 MB", "3.0 MB") in report.tables[0].rows


def test_starts_are_told_apart():
    report = start.digest({"cold": [30.0, 34.0], "warm": [4.0]}, "c")
    assert report.figures["cold"]["spread_s"]["p50"] == 32.0
    assert report.figures["warm"]["seconds"] == [4.0]
    assert report.tables[0].rows == (
        ("cold", "2", "32.0 s", "30.0 s", "34.0 s"),
        ("warm", "1", "4.0 s", "4.0 s", "4.0 s"),
    )
