"""The daemon's front: starts every process, minds them, answers the service manager, obeys signals. No actor."""
