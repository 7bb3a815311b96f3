"""A simulated market: spark-submit --jars "$(smallcaps jars)" jobs/simulate_build.py --market FOLDER"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["simulate", "build", *sys.argv[1:]]))
