"""Measure the detectors against planted truth: spark-submit --jars "$(smallcaps jars)" jobs/detectors_truth.py --market M"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["detectors", "truth", *sys.argv[1:]]))
