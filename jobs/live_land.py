"""Kafka into bronze, alerts into gold: spark-submit --jars "$(smallcaps jars)" jobs/live_land.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["live", "land", *sys.argv[1:]]))
