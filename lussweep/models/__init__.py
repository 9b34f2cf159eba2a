"""Networks and their training: receives frames and specs, and returns trained networks."""
