"""Make what is stale again: spark-submit --jars "$(smallcaps jars)" jobs/refresh.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["refresh", *sys.argv[1:]]))
