"""The documents, compared with what they describe."""
