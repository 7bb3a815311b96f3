"""A name's day and why its events fired: spark-submit --jars "$(smallcaps jars)" jobs/show.py NERV 2015-06-10 --page day.html"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["show", *sys.argv[1:]]))
