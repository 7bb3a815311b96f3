"""The models beside each other: spark-submit --jars "$(smallcaps jars)" jobs/model_report.py --out DIR"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["model", "report", *sys.argv[1:]]))
