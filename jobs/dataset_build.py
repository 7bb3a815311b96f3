"""A frozen training set: spark-submit --jars "$(smallcaps jars)" jobs/dataset_build.py NAME --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["dataset", "build", *sys.argv[1:]]))
