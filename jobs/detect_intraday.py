"""Minute and trade detectors over silver: spark-submit --jars "$(smallcaps jars)" jobs/detect_intraday.py --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["detect", "intraday", *sys.argv[1:]]))
