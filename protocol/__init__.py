"""Languages of the program: messages, model, configuration, HTTP API and command line."""
