"""A real deployment: PostgreSQL, code server, webserver, daemon, and a browser."""
