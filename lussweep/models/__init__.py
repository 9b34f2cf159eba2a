"""Networks and their training: generators, classifiers and what both share."""
