"""How two training sets differ: spark-submit --jars "$(smallcaps jars)" jobs/dataset_diff.py ONE OTHER"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["dataset", "diff", *sys.argv[1:]]))
