"""Limit bands and halts of the live feed into bronze.

spark-submit --jars "$(smallcaps jars)" jobs/ingest_feed.py --seconds 57600
"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["ingest", "feed", *sys.argv[1:]]))
