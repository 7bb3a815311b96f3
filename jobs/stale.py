"""What was made of rows that have changed since: spark-submit --jars "$(smallcaps jars)" jobs/stale.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["stale", *sys.argv[1:]]))
