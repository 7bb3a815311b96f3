"""Upkeep of the lake's tables: spark-submit --jars "$(smallcaps jars)" jobs/maintain.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["maintain", *sys.argv[1:]]))
