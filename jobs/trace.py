"""From an event or a run back to the raw files: spark-submit --jars "$(smallcaps jars)" jobs/trace.py ID"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["trace", *sys.argv[1:]]))
