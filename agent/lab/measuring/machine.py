"""The machine a measurement ran on, and the memory of a process. Linux only where it says so."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("callagent", "faster-whisper", "ctranslate2", "onnxruntime", "sanotts", "numpy", "uvicorn", "websockets")
"""Packages whose version moves the numbers."""
_PROC = Path("/proc")


class MeasureFailed(Exception):
    """A measurement could not be carried through; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process in MB (10^6 bytes): now, and the most so far."""

    now_mb: float
    peak_mb: float


def machine() -> dict[str, object]:
    """CPU model, cores this process may use, memory in GB and Python version, JSON-ready."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "cpu": _field(_PROC / "cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": cores,
        "memory_gb": round(_kilobytes(_field(_PROC / "meminfo", "MemTotal")) * 1024 / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def hardware_line(found: Mapping[str, object]) -> str:
    """What `machine` found, in a line."""
    return f"{found['cores']} cores of {found['cpu']}, {found['memory_gb']} GB, Python {found['python']}"


def versions() -> dict[str, str]:
    """Version of each of `PACKAGES` that is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def memory_of(pid: int) -> Memory:
    """Resident memory of process `pid`, from /proc: Linux only.

    Raises:
        MeasureFailed: there is no /proc here, or no such process.
    """
    status = _PROC / str(pid) / "status"
    now, peak = _field(status, "VmRSS"), _field(status, "VmHWM")
    if now is None or peak is None:
        raise MeasureFailed(f"{status} does not tell the memory of process {pid}; it must run, and on Linux")
    return Memory(_kilobytes(now) * 1024 / 1e6, _kilobytes(peak) * 1024 / 1e6)


def _field(path: Path, name: str) -> str | None:
    """The value after `name` and a colon in a file of /proc; None where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else None


def _kilobytes(value: str | None) -> int:
    return int(value.split()[0]) if value else 0
