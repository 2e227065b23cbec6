"""What lists and details show: rows as they are, newest first, in pages. One file a noun."""
