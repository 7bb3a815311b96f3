"""The registered model on the live tape's alerts: spark-submit --jars "$(smallcaps jars)" jobs/live_score.py [--date D]"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["live", "score", *sys.argv[1:]]))
