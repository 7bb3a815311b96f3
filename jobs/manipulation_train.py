"""A model of manipulation: spark-submit --jars "$(smallcaps jars)" jobs/manipulation_train.py --market M --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["manipulation", "train", *sys.argv[1:]]))
