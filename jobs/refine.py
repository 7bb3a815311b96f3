"""Bronze into silver: spark-submit --jars "$(smallcaps jars)" jobs/refine.py --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["refine", *sys.argv[1:]]))
