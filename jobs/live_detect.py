"""Detectors on the live tape: spark-submit --jars "$(smallcaps jars)" jobs/live_detect.py [--date D]"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["live", "detect", *sys.argv[1:]]))
