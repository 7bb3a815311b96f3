"""Train models walk-forward: spark-submit --jars "$(smallcaps jars)" jobs/train.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
