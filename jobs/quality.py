"""What the quality suites found: spark-submit --jars "$(smallcaps jars)" jobs/quality.py [TABLE]"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["quality", *sys.argv[1:]]))
