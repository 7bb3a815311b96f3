"""Judge the challenger: spark-submit --jars "$(smallcaps jars)" jobs/model_judge.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["model", "judge", *sys.argv[1:]]))
