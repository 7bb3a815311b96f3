"""Windows of ticks around the manifest's events: spark-submit --jars "$(smallcaps jars)" jobs/ingest_windows.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["ingest", "windows", *sys.argv[1:]]))
