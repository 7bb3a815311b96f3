"""The whole main job on the sample: spark-submit --jars "$(smallcaps jars)" jobs/demo.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
