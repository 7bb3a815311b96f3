"""The report and summary.json: spark-submit --jars "$(smallcaps jars)" jobs/report.py --out DIR"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
