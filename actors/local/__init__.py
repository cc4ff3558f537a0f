"""One-shot commands, each with processes of its own or with none."""
