"""Microstructure features of the intraday events: spark-submit --jars "$(smallcaps jars)" jobs/features.py --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["features", *sys.argv[1:]]))
