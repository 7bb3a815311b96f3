"""Room: the command line. It parses, shows progress and prints; everything else is called."""
