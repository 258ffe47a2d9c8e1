"""Result rows made readable: comparison tables, learning curves and sheets of pictures."""
