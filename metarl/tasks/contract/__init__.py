"""What a family must obey, checked rule by rule."""
