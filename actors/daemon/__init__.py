"""Daemon: starts and watches over all processes, answers the service manager, obeys signals."""
