"""How tables and jobs are: spark-submit --jars "$(smallcaps jars)" jobs/status.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["status", *sys.argv[1:]]))
