"""Where the library meets what it did not bring: servers, machines, frameworks."""
