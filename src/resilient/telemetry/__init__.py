"""What happens, told to the outside: logs."""
