"""Daily detectors over silver: spark-submit --jars "$(smallcaps jars)" jobs/detect_daily.py --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["detect", "daily", *sys.argv[1:]]))
