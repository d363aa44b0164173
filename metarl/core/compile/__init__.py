"""What compiling adds; readers of the mathematics may skip it."""
