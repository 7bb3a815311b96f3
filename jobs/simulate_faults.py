"""What became of every planted fault: spark-submit --jars "$(smallcaps jars)" jobs/simulate_faults.py --market M"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["simulate", "faults", *sys.argv[1:]]))
