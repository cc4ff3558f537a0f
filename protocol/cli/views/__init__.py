"""Views of jobs and searches: live, plain, JSON lines."""
