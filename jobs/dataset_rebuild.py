"""A frozen training set made again: spark-submit --jars "$(smallcaps jars)" jobs/dataset_rebuild.py NAME"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["dataset", "rebuild", *sys.argv[1:]]))
