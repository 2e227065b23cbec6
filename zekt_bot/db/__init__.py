"""The database: one writer, reading connections, and the SQL of one noun a file."""
