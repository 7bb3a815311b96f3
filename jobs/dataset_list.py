"""The frozen training sets: spark-submit --jars "$(smallcaps jars)" jobs/dataset_list.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["dataset", "list", *sys.argv[1:]]))
