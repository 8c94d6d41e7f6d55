"""Callers that stop reading: how what waits for them is counted."""

from __future__ import annotations

import json

from agent.lab.slow_reader import SlowFound, queued_bytes, report

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 0100007F:C001 01 00000400:00000000 01:00000014 00000000     0        0 1 2
   1: 0100007F:1F90 0100007F:C002 01 00000A00:00000000 01:00000014 00000000     0        0 1 2
   2: 0100007F:C001 0100007F:1F90 01 0000FF00:00000000 01:00000014 00000000     0        0 1 2
"""


def test_the_longest_queue_of_the_servers_port_counts() -> None:
    assert queued_bytes(0x1F90, TABLE) == 0xA00
    assert queued_bytes(0x1F91, TABLE) == 0
    assert queued_bytes(80, "") == 0


def test_the_report_holds_it_against_the_aim() -> None:
    assert "within 2 MB" in report(SlowFound(10, 30.0, 0.2, 900.0, 0), "agent bench").notes[0]
    over = report(SlowFound(10, 30.0, 2.2, 900.0, 3), "agent bench")
    assert "over 2 MB" in over.notes[0]
    json.dumps(over.document())
