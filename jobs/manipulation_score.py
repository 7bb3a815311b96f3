"""Looking for manipulation: spark-submit --jars "$(smallcaps jars)" jobs/manipulation_score.py --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["manipulation", "score", *sys.argv[1:]]))
