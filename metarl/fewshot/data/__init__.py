"""Tasks made of data: curves, images, tables and arrays."""
