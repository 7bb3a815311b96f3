"""A simulated session over Kafka: spark-submit --jars "$(smallcaps jars)" jobs/live_demo.py [--speed N]"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["live", "demo", *sys.argv[1:]]))
