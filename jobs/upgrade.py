"""Bring tables written by earlier versions up to what is declared now: spark-submit --jars "$(smallcaps jars)" jobs/upgrade.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["upgrade", *sys.argv[1:]]))
