"""`callsheet demo`: the main job on the examples of every source document, on this machine alone."""
