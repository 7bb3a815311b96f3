"""Score events by the registered model: spark-submit --jars "$(smallcaps jars)" jobs/score.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["score", *sys.argv[1:]]))
