"""One suite that every extraction method has to pass."""
