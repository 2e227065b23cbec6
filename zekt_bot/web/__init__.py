"""The HTTP front: verify, store, answer. It holds no rule."""
