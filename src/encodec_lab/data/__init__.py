"""Audio from files: reading and writing, conversion, manifests, random crops that can be resumed, whole clips."""
