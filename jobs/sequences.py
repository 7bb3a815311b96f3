"""Seconds around the intraday events: spark-submit --jars "$(smallcaps jars)" jobs/sequences.py --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["sequences", *sys.argv[1:]]))
