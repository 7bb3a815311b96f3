"""What reviewers' verdicts come to: spark-submit --jars "$(smallcaps jars)" jobs/review_score.py DIR"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["review", "score", *sys.argv[1:]]))
