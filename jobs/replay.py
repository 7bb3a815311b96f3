"""A day of the lake into Kafka: spark-submit --jars "$(smallcaps jars)" jobs/replay.py D [--speed N]"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["replay", *sys.argv[1:]]))
