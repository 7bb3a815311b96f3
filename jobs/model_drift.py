"""Drift by month: spark-submit --jars "$(smallcaps jars)" jobs/model_drift.py DATASET"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["model", "drift", *sys.argv[1:]]))
