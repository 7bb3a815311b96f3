"""A sample for review: spark-submit --jars "$(smallcaps jars)" jobs/review_sample.py --size 50 --folder DIR"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["review", "sample", *sys.argv[1:]]))
