"""What happened after the events: spark-submit --jars "$(smallcaps jars)" jobs/label.py --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["label", *sys.argv[1:]]))
