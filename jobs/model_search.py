"""Search for parameters: spark-submit --jars "$(smallcaps jars)" jobs/model_search.py DATASET"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["model", "search", *sys.argv[1:]]))
