"""The live tape against the batch job: spark-submit --jars "$(smallcaps jars)" jobs/parity.py D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["parity", *sys.argv[1:]]))
