"""An algorithm beside the best possible score: spark-submit --jars "$(smallcaps jars)" jobs/model_truth.py --market M"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["model", "truth", *sys.argv[1:]]))
