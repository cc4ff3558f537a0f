"""The daemon's API from the other side: what a command needs to drive one. Knows no terminal and no actor."""
