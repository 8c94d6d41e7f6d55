"""`python -m agent.domains.shop PATH`: create the shop's SQLite database at PATH, in place of any there."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from agent.domains.shop.seed import ORDERS, create_shop


def main() -> None:
    """Create the database named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="where to write it, for example var/shop.db")
    path: Path = parser.parse_args().path
    asyncio.run(create_shop(path))
    print(f"{path}: {len(ORDERS)} orders")


if __name__ == "__main__":
    main()
